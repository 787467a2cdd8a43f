//! The KV cache as kernels see it: segments of consecutive positions, each with its own buffers, in one of several types.

use std::fmt;
use std::str::FromStr;

use half::f16;

use crate::plan::BufferRef;
use crate::random::Random;

/// Positions of a layer's KV cache in one segment.
///
/// A vector of a head takes [`KvType::words`] words. Keys: 32 positions interleaved, word `w` of KV head `h` at position `s`
/// of the segment is at `((s / 32 * kv_heads + h) * words + w) * 32 + s % 32`. Values: `(s * kv_heads + h) * words + w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Keys.
    pub k: BufferRef,
    /// Values.
    pub v: BufferRef,
    /// First position.
    pub first: u32,
    /// Positions; a multiple of 32.
    pub len: u32,
    /// Where keys and values are while they are not on the GPU: a number that the executor knows. `k` and `v` are then where
    /// they are put before they are read, keys first.
    pub host: Option<u32>,
}

/// The shape of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Floats in a head; a multiple of 16, 128 at most.
    pub head_dim: u32,
}

/// How the KV cache stores floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvType {
    /// 32 bits.
    F32,
    /// 16 bits.
    #[default]
    F16,
    /// 8 bits, and a half as scale for each group of up to 32.
    Q8_0,
    /// 4 bits, and a half as scale for each group of up to 32. Queries see those of their own [`PAGE`] as halves.
    Q4_0,
}

/// Positions of a page. Where a cache has a side of 4 bits, a query sees keys and values of its own page, which weigh most, as
/// halves, and of all pages before as they are cached. So what a token sees does not depend on how tokens came in.
pub const PAGE: u32 = 64;

/// The newest positions' keys and values as halves, after their transforms: two rings `[len, kv_heads, head_dim]`, keys then
/// values; position `p` is at `p % len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Where they are.
    pub buffer: BufferRef,
    /// Positions in a ring, a multiple of [`PAGE`]; 0 where the cache needs none.
    pub len: u32,
}

/// A name that is no [`KvType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type of a KV cache; known: f32, f16, q8_0, q4_0, or two of them as keys/values")]
pub struct UnknownKvType(String);

impl KvType {
    /// All types, the largest first.
    pub const ALL: [KvType; 4] = [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0];

    /// The type's name.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
            KvType::Q4_0 => "q4_0",
        }
    }

    /// Floats in a word.
    pub fn values(self) -> u32 {
        match self {
            KvType::F32 => 1,
            KvType::F16 => 2,
            KvType::Q8_0 => 4,
            KvType::Q4_0 => 8,
        }
    }

    /// Whether floats are rounded to a scale's multiples.
    pub fn is_quantized(self) -> bool {
        self.values() >= 4
    }

    /// Words of a head's vector.
    pub fn words(self, head_dim: u32) -> u32 {
        let scales = if self.is_quantized() { (head_dim / scale_group(head_dim)).div_ceil(2) } else { 0 };
        head_dim / self.values() + scales
    }

    /// A vector as words; quantised as `rope_append` does it.
    pub fn encode(self, vector: &[f32]) -> Vec<u32> {
        let pair = |x: f32, y: f32| u32::from(f16::from_f32(x).to_bits()) | u32::from(f16::from_f32(y).to_bits()) << 16;
        match self {
            KvType::F32 => return vector.iter().map(|x| x.to_bits()).collect(),
            KvType::F16 => return vector.chunks_exact(2).map(|p| pair(p[0], p[1])).collect(),
            KvType::Q8_0 | KvType::Q4_0 => {}
        }
        let group = scale_group(vector.len() as u32) as usize;
        let scales: Vec<f32> = vector.chunks_exact(group).map(|group| self.scale(group)).collect();
        let bits = 32 / self.values();
        let most = f32::from((1_i8 << (bits - 1)).wrapping_sub(1));
        let code = |i: usize, x: f32| {
            let scale = scales[i / group];
            let code = if scale == 0.0 { 0.0 } else { (x / scale).round_ties_even().clamp(-most - 1.0, most) } as i32;
            (if self == KvType::Q4_0 { code + 8 } else { code }) as u32 & ((1 << bits) - 1)
        };
        let values = self.values() as usize;
        let codes = vector.chunks_exact(values).enumerate().map(|(w, floats)| {
            floats.iter().enumerate().fold(0, |word, (i, &x)| word | code(w * values + i, x) << (i as u32 * bits))
        });
        let scales = scales.chunks(2).map(|two| pair(two[0], two[two.len() - 1]));
        codes.chain(scales).collect()
    }

    fn scale(self, group: &[f32]) -> f32 {
        let largest = group.iter().fold(0.0_f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
        let scale = if self == KvType::Q4_0 { largest / -8.0 } else { largest.abs() / 127.0 };
        f16::from_f32(scale).to_f32()
    }

    /// The vector that these words stand for.
    pub fn decode(self, words: &[u32], head_dim: u32) -> Vec<f32> {
        let half = |word: u32, i: usize| f16::from_bits((word >> (16 * i)) as u16).to_f32();
        let codes = (head_dim / self.values()) as usize;
        let scale = |i: usize| {
            let group = i / scale_group(head_dim) as usize;
            half(words[codes + group / 2], group % 2)
        };
        let float = |i: usize| match self {
            KvType::F32 => f32::from_bits(words[i]),
            KvType::F16 => half(words[i / 2], i % 2),
            KvType::Q8_0 => f32::from((words[i / 4] >> (8 * (i % 4))) as i8) * scale(i),
            KvType::Q4_0 => ((words[i / 8] >> (4 * (i % 8)) & 15) as f32 - 8.0) * scale(i),
        };
        (0..head_dim as usize).map(float).collect()
    }

    /// The type whose vectors take this many words.
    #[cfg(feature = "testing")]
    pub(crate) fn of_words(head_dim: u32, words: u32) -> Self {
        Self::ALL.into_iter().find(|kind| kind.words(head_dim) == words).unwrap_or_default()
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for KvType {
    type Err = UnknownKvType;

    fn from_str(name: &str) -> Result<Self, UnknownKvType> {
        let found = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownKvType(name.into()))
    }
}

/// Floats that share a scale.
fn scale_group(head_dim: u32) -> u32 {
    hadamard_block(head_dim).min(32)
}

/// The largest power of two that divides `head_dim`.
fn hadamard_block(head_dim: u32) -> u32 {
    head_dim & head_dim.wrapping_neg()
}

/// How a KV cache is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvFormat {
    /// Keys.
    pub k: KvType,
    /// Values.
    pub v: KvType,
    /// Whether what is quantised goes through a Hadamard transform first: it spreads outliers, which cost precision.
    pub hadamard: bool,
}

impl Default for KvFormat {
    fn default() -> Self {
        Self { k: KvType::F16, v: KvType::F16, hadamard: true }
    }
}

impl KvFormat {
    /// The block of the transform of queries and keys, and of that of values; 1: none.
    pub fn blocks(&self, head_dim: u32) -> [u32; 2] {
        [self.k, self.v].map(|kind| if self.hadamard && kind.is_quantized() { hadamard_block(head_dim) } else { 1 })
    }

    /// Words of a key, and of a value.
    pub fn words(&self, head_dim: u32) -> [u32; 2] {
        [self.k.words(head_dim), self.v.words(head_dim)]
    }

    /// Bytes of a position's keys, and of its values, in one layer.
    pub fn bytes(&self, heads: AttentionShape) -> [u64; 2] {
        self.words(heads.head_dim).map(|words| 4 * u64::from(words) * u64::from(heads.kv_heads))
    }

    /// Whether the newest positions are kept as halves too: [`PAGE`].
    pub fn keeps_recent(&self) -> bool {
        self.k == KvType::Q4_0 || self.v == KvType::Q4_0
    }

    /// Positions that are seen as halves together; 1: none, the cache is all that is seen.
    pub fn page(&self) -> u32 {
        if self.keeps_recent() { PAGE } else { 1 }
    }

    /// Positions in the rings of [`Recent`] for passes of up to `chunk` tokens: theirs, and the page that the first begins in.
    pub fn recent_len(&self, chunk: u32) -> u32 {
        if self.keeps_recent() { chunk.next_multiple_of(PAGE) + PAGE } else { 0 }
    }

    /// Bytes of the rings of one layer.
    pub fn recent_bytes(&self, heads: AttentionShape, chunk: u32) -> u64 {
        4 * u64::from(self.recent_len(chunk)) * u64::from(heads.kv_heads) * u64::from(heads.head_dim)
    }

    /// The overrides by which kernels know the types.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, u32)> {
        vec![("K_VALUES", self.k.values()), ("V_VALUES", self.v.values())]
    }

    /// Those of kernels that are compiled for the length of a head besides.
    pub(crate) fn overrides_for(&self, head_dim: u32) -> Vec<(&'static str, u32)> {
        [self.overrides(), vec![("HEAD_DIM", head_dim)]].concat()
    }
}

impl FromStr for KvFormat {
    type Err = UnknownKvType;

    /// One type, or two as `keys/values`.
    fn from_str(text: &str) -> Result<Self, UnknownKvType> {
        let (k, v) = text.split_once('/').unwrap_or((text, text));
        Ok(Self { k: k.parse()?, v: v.parse()?, hadamard: true })
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = if self.hadamard || !(self.k.is_quantized() || self.v.is_quantized()) { "" } else { " unrotated" };
        if self.k == self.v { write!(f, "{}{plain}", self.k) } else { write!(f, "{}/{}{plain}", self.k, self.v) }
    }
}

/// Where a segment's words are: its keys', or its values'.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub keys: bool,
    pub kv_heads: u32,
    pub words: u32,
}

impl Layout {
    /// The index of word `w` of head `head` at `slot`.
    pub fn at(&self, slot: u32, head: u32, w: u32) -> usize {
        let at = if self.keys {
            ((slot / 32 * self.kv_heads + head) * self.words + w) * 32 + slot % 32
        } else {
            (slot * self.kv_heads + head) * self.words + w
        };
        at as usize
    }

    /// The vector of `head` at `slot`.
    #[cfg(feature = "testing")]
    pub fn read(&self, cache: &[u32], slot: u32, head: u32, head_dim: u32) -> Vec<f32> {
        let words: Vec<u32> = (0..self.words).map(|w| cache[self.at(slot, head, w)]).collect();
        KvType::of_words(head_dim, self.words).decode(&words, head_dim)
    }

    /// Stores it.
    #[cfg(feature = "testing")]
    pub fn write(&self, cache: &mut [u32], slot: u32, head: u32, vector: &[f32]) {
        let words = KvType::of_words(vector.len() as u32, self.words).encode(vector);
        for (w, word) in (0..).zip(words) {
            cache[self.at(slot, head, w)] = word;
        }
    }

    /// All vectors, `[slot, head, head_dim]`.
    #[cfg(feature = "testing")]
    pub fn read_all(&self, cache: &[u32], head_dim: u32) -> Vec<f64> {
        let slots = cache.len() as u32 / (self.kv_heads * self.words);
        let each = (0..slots).flat_map(|slot| (0..self.kv_heads).map(move |head| (slot, head)));
        each.flat_map(|(slot, head)| self.read(cache, slot, head, head_dim)).map(f64::from).collect()
    }
}

/// The words of 32 positions' keys, and of their values, all of them noise: for measuring at a depth that nobody computed. A
/// segment is as many of these as fit.
pub fn noise(heads: AttentionShape, format: KvFormat, seed: u64) -> [Vec<u32>; 2] {
    let mut random = Random::new(seed);
    let AttentionShape { kv_heads, head_dim, .. } = heads;
    let [keys, values] = format.words(head_dim).map(|words| (words, vec![0; (32 * kv_heads * words) as usize]));
    [(true, keys), (false, values)].map(|(keys, (words, mut cache))| {
        let (kind, layout) = (if keys { format.k } else { format.v }, Layout { keys, kv_heads, words });
        for slot in 0..32 {
            for head in 0..kv_heads {
                let vector: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
                for (w, word) in (0..).zip(kind.encode(&vector)) {
                    cache[layout.at(slot, head, w)] = word;
                }
            }
        }
        cache
    })
}

/// The orthonormal Walsh-Hadamard transform of each block of a vector.
#[cfg(feature = "testing")]
pub(crate) fn hadamard(vector: &mut [f32], block: u32) {
    let block = block as usize;
    for chunk in vector.chunks_exact_mut(block) {
        let old: Vec<f64> = chunk.iter().map(|&x| x.into()).collect();
        for (i, new) in chunk.iter_mut().enumerate() {
            let signed = |(j, x): (usize, &f64)| if (i & j).count_ones() % 2 == 0 { *x } else { -x };
            *new = (old.iter().enumerate().map(signed).sum::<f64>() / (block as f64).sqrt()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back() {
        for head_dim in [64, 80, 96, 128] {
            let vector = Random::new(1).activations(head_dim as usize);
            for (kind, most) in [(KvType::F32, 0.0), (KvType::F16, 1e-3), (KvType::Q8_0, 0.01), (KvType::Q4_0, 0.16)] {
                let words = kind.encode(&vector);
                assert_eq!(words.len(), kind.words(head_dim) as usize);
                assert_eq!(KvType::of_words(head_dim, kind.words(head_dim)), kind);
                let back = kind.decode(&words, head_dim);
                for (old, new) in vector.chunks(16).zip(back.chunks(16)) {
                    // A group is 16 or 32 floats.
                    let largest = vector.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                    assert!(old.iter().zip(new).all(|(a, b)| (a - b).abs() <= most * largest), "{kind} {head_dim}");
                }
            }
        }
        assert_eq!(KvType::Q8_0.decode(&KvType::Q8_0.encode(&[0.0; 64]), 64), [0.0; 64]);
    }

    #[test]
    fn the_transform_is_its_own_inverse() {
        for head_dim in [64, 80, 96, 128] {
            let vector = Random::new(2).activations(head_dim as usize);
            let mut twice = vector.clone();
            hadamard(&mut twice, hadamard_block(head_dim));
            assert_ne!(twice, vector);
            hadamard(&mut twice, hadamard_block(head_dim));
            assert!(vector.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn names_are_known() {
        assert_eq!("Q8_0".parse(), Ok(KvType::Q8_0));
        assert!("q9".parse::<KvType>().is_err());
        assert_eq!("q8_0/f16".parse(), Ok(KvFormat { k: KvType::Q8_0, v: KvType::F16, hadamard: true }));
        assert!(["", "f16/", "f16/f16/f16"].iter().all(|text| text.parse::<KvFormat>().is_err()));
        assert_eq!(KvFormat::default().to_string(), "f16");
        assert_eq!(KvFormat { k: KvType::Q8_0, v: KvType::Q4_0, hadamard: false }.to_string(), "q8_0/q4_0 unrotated");
    }
}
