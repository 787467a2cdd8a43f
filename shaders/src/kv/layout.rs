//! Where the words of keys and values are in a segment; see [`Segment`](super::Segment).

#[cfg(feature = "testing")]
use super::KvType;
use super::{AttentionShape, KvFormat};
use crate::random::Random;

/// The layout of a segment's keys, or of its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Whether these are keys.
    pub keys: bool,
    pub kv_heads: u32,
    /// Words of a head's vector.
    pub words: u32,
}

impl Layout {
    /// The index of word `w` of KV head `head` at `slot`.
    pub fn index(&self, slot: u32, head: u32, w: u32) -> usize {
        let index = if self.keys {
            ((slot / 32 * self.kv_heads + head) * self.words + w) * 32 + slot % 32
        } else {
            (slot * self.kv_heads + head) * self.words + w
        };
        index as usize
    }

    /// The decoded vector of KV head `head` at `slot`.
    #[cfg(feature = "testing")]
    pub fn read(&self, cache: &[u32], slot: u32, head: u32, head_dim: u32) -> Vec<f32> {
        let words: Vec<u32> = (0..self.words)
            .map(|w| cache[self.index(slot, head, w)])
            .collect();
        KvType::of_words(head_dim, self.words).decode(&words, head_dim)
    }

    /// Encodes a vector, and stores it as that of KV head `head` at `slot`.
    #[cfg(feature = "testing")]
    pub fn write(&self, cache: &mut [u32], slot: u32, head: u32, vector: &[f32]) {
        let words = KvType::of_words(vector.len() as u32, self.words).encode(vector);
        for (w, word) in (0..).zip(words) {
            cache[self.index(slot, head, w)] = word;
        }
    }

    /// All vectors, `[slot, head, head_dim]`.
    #[cfg(feature = "testing")]
    pub fn read_all(&self, cache: &[u32], head_dim: u32) -> Vec<f64> {
        let slots = cache.len() as u32 / (self.kv_heads * self.words);
        (0..slots)
            .flat_map(|slot| (0..self.kv_heads).map(move |head| (slot, head)))
            .flat_map(|(slot, head)| self.read(cache, slot, head, head_dim))
            .map(f64::from)
            .collect()
    }
}

/// The words of 32 positions' keys, and of their values, with random contents.
///
/// Benchmarks repeat them to fill a segment, instead of computing a long context.
pub fn noise(shape: AttentionShape, format: KvFormat, seed: u64) -> [Vec<u32>; 2] {
    let mut random = Random::new(seed);
    let AttentionShape {
        kv_heads, head_dim, ..
    } = shape;
    [(true, format.k), (false, format.v)].map(|(keys, kind)| {
        let layout = Layout {
            keys,
            kv_heads,
            words: kind.words(head_dim),
        };
        let mut cache = vec![0; (32 * kv_heads * layout.words) as usize];
        for slot in 0..32 {
            for head in 0..kv_heads {
                let vector: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
                for (w, word) in (0..).zip(kind.encode(&vector)) {
                    cache[layout.index(slot, head, w)] = word;
                }
            }
        }
        cache
    })
}
