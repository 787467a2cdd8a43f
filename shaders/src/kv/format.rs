//! The types in which the KV cache stores floats.

use std::fmt;
use std::str::FromStr;

use half::f16;

use super::{AttentionShape, TAIL_BLOCK};

/// How the KV cache stores the floats of keys, or those of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvType {
    /// 32 bits.
    F32,
    /// 16 bits.
    #[default]
    F16,
    /// 8 bits, and an f16 scale for each group of up to 32 floats.
    Q8_0,
    /// 4 bits, and an f16 scale for each group of up to 32 floats. Tokens attend to their own
    /// [`TAIL_BLOCK`] in f16.
    Q4_0,
}

/// A name that is not that of a [`KvType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no type of a KV cache; known: f32, f16, q8_0, q4_0, or two of them as keys/values"
)]
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

    /// Floats in a 32-bit word.
    pub fn per_word(self) -> u32 {
        match self {
            KvType::F32 => 1,
            KvType::F16 => 2,
            KvType::Q8_0 => 4,
            KvType::Q4_0 => 8,
        }
    }

    /// Whether floats are stored as integer codes with scales.
    pub fn is_quantized(self) -> bool {
        self.per_word() >= 4
    }

    /// Words of a head's vector: its codes, then its scales.
    pub fn words(self, head_dim: u32) -> u32 {
        let scales = if self.is_quantized() {
            (head_dim / scale_group(head_dim)).div_ceil(2)
        } else {
            0
        };
        head_dim / self.per_word() + scales
    }

    /// A vector as words, rounded as `rope_append` rounds it.
    pub fn encode(self, vector: &[f32]) -> Vec<u32> {
        let half = |x: f32| u32::from(f16::from_f32(x).to_bits());
        let pair = |x: f32, y: f32| half(x) | half(y) << 16;
        match self {
            KvType::F32 => return vector.iter().map(|x| x.to_bits()).collect(),
            KvType::F16 => return vector.chunks_exact(2).map(|p| pair(p[0], p[1])).collect(),
            KvType::Q8_0 | KvType::Q4_0 => {}
        }
        let group = scale_group(vector.len() as u32) as usize;
        let scales: Vec<f32> = vector
            .chunks_exact(group)
            .map(|group| self.scale(group))
            .collect();
        let bits = 32 / self.per_word();
        let max_code = f32::from((1_i8 << (bits - 1)).wrapping_sub(1));
        let code = |i: usize, x: f32| {
            let scale = scales[i / group];
            let scaled = if scale == 0.0 { 0.0 } else { x / scale };
            let code = scaled.round_ties_even().clamp(-max_code - 1.0, max_code) as i32;
            let stored = if self == KvType::Q4_0 { code + 8 } else { code };
            stored as u32 & ((1 << bits) - 1)
        };
        let per_word = self.per_word() as usize;
        let codes = vector
            .chunks_exact(per_word)
            .enumerate()
            .map(|(w, floats)| {
                let codes = floats
                    .iter()
                    .enumerate()
                    .map(|(i, &x)| (i, code(w * per_word + i, x)));
                codes.fold(0, |word, (i, code)| word | code << (i as u32 * bits))
            });
        let scales = scales.chunks(2).map(|two| pair(two[0], two[two.len() - 1]));
        codes.chain(scales).collect()
    }

    fn scale(self, group: &[f32]) -> f32 {
        let larger = |largest: f32, &x: &f32| if x.abs() > largest.abs() { x } else { largest };
        let largest = group.iter().fold(0.0_f32, larger);
        let scale = match self {
            KvType::Q4_0 => largest / -8.0,
            _ => largest.abs() / 127.0,
        };
        f16::from_f32(scale).to_f32()
    }

    /// The vector that these words encode.
    pub fn decode(self, words: &[u32], head_dim: u32) -> Vec<f32> {
        let half = |word: u32, i: usize| f16::from_bits((word >> (16 * i)) as u16).to_f32();
        let code_words = (head_dim / self.per_word()) as usize;
        let scale = |i: usize| {
            let group = i / scale_group(head_dim) as usize;
            half(words[code_words + group / 2], group % 2)
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
        Self::ALL
            .into_iter()
            .find(|kind| kind.words(head_dim) == words)
            .unwrap_or_default()
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
        let found = Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownKvType(name.into()))
    }
}

/// Floats that share a scale.
fn scale_group(head_dim: u32) -> u32 {
    hadamard_block(head_dim).min(32)
}

/// The block of a head's Hadamard transform: the largest power of two that divides `head_dim`.
fn hadamard_block(head_dim: u32) -> u32 {
    head_dim & head_dim.wrapping_neg()
}

/// How the KV cache stores keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvFormat {
    /// Keys.
    pub k: KvType,
    /// Values.
    pub v: KvType,
    /// Whether quantised sides go through a Hadamard transform first: it spreads outliers, which
    /// cost precision.
    pub hadamard: bool,
}

impl Default for KvFormat {
    fn default() -> Self {
        Self {
            k: KvType::F16,
            v: KvType::F16,
            hadamard: true,
        }
    }
}

impl KvFormat {
    /// The blocks of the Hadamard transforms of queries and keys, and of values; 1: no transform.
    pub fn blocks(&self, head_dim: u32) -> [u32; 2] {
        [self.k, self.v].map(|kind| {
            if self.hadamard && kind.is_quantized() {
                hadamard_block(head_dim)
            } else {
                1
            }
        })
    }

    /// Words of a head's key, and of its value.
    pub fn words(&self, head_dim: u32) -> [u32; 2] {
        [self.k.words(head_dim), self.v.words(head_dim)]
    }

    /// Bytes of a position's keys, and of its values, in one layer.
    pub fn bytes(&self, shape: AttentionShape) -> [u64; 2] {
        self.words(shape.head_dim)
            .map(|words| 4 * u64::from(words) * u64::from(shape.kv_heads))
    }

    /// Whether the cache has an f16 tail: see [`TAIL_BLOCK`].
    pub fn has_f16_tail(&self) -> bool {
        self.k == KvType::Q4_0 || self.v == KvType::Q4_0
    }

    /// Positions of a tail block; 1 where the cache has no f16 tail.
    pub fn tail_block(&self) -> u32 {
        if self.has_f16_tail() { TAIL_BLOCK } else { 1 }
    }

    /// Positions in a ring of the f16 tail, for passes of up to `chunk` tokens: these, and the tail
    /// block of the first of them. 0 where there is none.
    pub fn f16_tail_len(&self, chunk: u32) -> u32 {
        if self.has_f16_tail() {
            chunk.next_multiple_of(TAIL_BLOCK) + TAIL_BLOCK
        } else {
            0
        }
    }

    /// Bytes of one layer's f16 tail.
    pub fn f16_tail_bytes(&self, shape: AttentionShape, chunk: u32) -> u64 {
        let floats = u64::from(shape.kv_heads) * u64::from(shape.head_dim);
        4 * u64::from(self.f16_tail_len(chunk)) * floats
    }

    /// The overrides that tell kernels the types.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, u32)> {
        vec![
            ("K_PER_WORD", self.k.per_word()),
            ("V_PER_WORD", self.v.per_word()),
        ]
    }

    /// The overrides of kernels that are compiled for one head length.
    pub(crate) fn overrides_for(&self, head_dim: u32) -> Vec<(&'static str, u32)> {
        [self.overrides(), vec![("HEAD_DIM", head_dim)]].concat()
    }
}

impl FromStr for KvFormat {
    type Err = UnknownKvType;

    /// One type, or two as `keys/values`.
    fn from_str(text: &str) -> Result<Self, UnknownKvType> {
        let (k, v) = text.split_once('/').unwrap_or((text, text));
        Ok(Self {
            k: k.parse()?,
            v: v.parse()?,
            hadamard: true,
        })
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.k == self.v {
            write!(f, "{}", self.k)?;
        } else {
            write!(f, "{}/{}", self.k, self.v)?;
        }
        let is_quantized = self.k.is_quantized() || self.v.is_quantized();
        if is_quantized && !self.hadamard {
            write!(f, " unrotated")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn decoded_vectors_are_close_to_the_encoded_ones() {
        let tolerances = [
            (KvType::F32, 0.0),
            (KvType::F16, 1e-3),
            (KvType::Q8_0, 0.01),
            (KvType::Q4_0, 0.16),
        ];
        for head_dim in [64, 80, 96, 128] {
            let vector = Random::new(1).activations(head_dim as usize);
            let largest = vector.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            for (kind, tolerance) in tolerances {
                let words = kind.encode(&vector);
                assert_eq!(words.len(), kind.words(head_dim) as usize);
                assert_eq!(KvType::of_words(head_dim, kind.words(head_dim)), kind);
                let decoded = kind.decode(&words, head_dim);
                let is_close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * largest;
                assert!(
                    vector.iter().zip(&decoded).all(is_close),
                    "{kind} {head_dim}"
                );
            }
        }
        assert_eq!(
            KvType::Q8_0.decode(&KvType::Q8_0.encode(&[0.0; 64]), 64),
            [0.0; 64]
        );
    }

    #[test]
    fn blocks_are_powers_of_two_that_divide_a_head() {
        for (head_dim, block) in [(64, 64), (80, 16), (96, 32), (128, 128)] {
            assert_eq!(hadamard_block(head_dim), block);
        }
    }

    #[test]
    fn names_are_known() {
        assert_eq!("Q8_0".parse(), Ok(KvType::Q8_0));
        assert!("q9".parse::<KvType>().is_err());
        let mixed = KvFormat {
            k: KvType::Q8_0,
            v: KvType::F16,
            hadamard: true,
        };
        assert_eq!("q8_0/f16".parse(), Ok(mixed));
        assert!(
            ["", "f16/", "f16/f16/f16"]
                .iter()
                .all(|text| text.parse::<KvFormat>().is_err())
        );
        assert_eq!(KvFormat::default().to_string(), "f16");
        let unrotated = KvFormat {
            k: KvType::Q8_0,
            v: KvType::Q4_0,
            hadamard: false,
        };
        assert_eq!(unrotated.to_string(), "q8_0/q4_0 unrotated");
    }
}
