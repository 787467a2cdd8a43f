//! The packed layout of weights on the GPU: planes of 32-bit words in each row, 32 rows
//! interleaved.
//!
//! The words hold the same codes, scales and minima as the file, so nothing is lost or rounded. A
//! row has first the codes of all groups (32 weights each), then high bits, then scales.
//! `wgsl/<format>.wgsl` unpacks them.
//!
//! Word `w` of row `r` of a tile of [`TILE`] rows lies at `(w / 4 * TILE + r) * 4 + w % 4`. So four
//! words are one load, and neighbouring invocations load neighbouring vectors.

use super::WeightFormat;

/// Rows whose words are interleaved.
pub const TILE: usize = 32;

/// Weights in a group, the unit in which kernels unpack. Each row is a whole number of groups.
pub const GROUP: usize = 32;

impl WeightFormat {
    /// 32-bit words of a packed row of `weights` weights, a multiple of the block and of [`GROUP`].
    /// The number of words is a multiple of four.
    pub fn row_words(self, weights: usize) -> usize {
        let groups = weights / GROUP;
        let blocks = weights / self.block_len();
        let words = match self {
            WeightFormat::F32 => groups * 32,
            WeightFormat::F16 | WeightFormat::BF16 => groups * 16,
            WeightFormat::Q4_0 | WeightFormat::IQ4_NL => groups * 4 + groups.div_ceil(2),
            WeightFormat::Q4_1 => groups * 5,
            WeightFormat::Q5_0 => groups * 5 + groups.div_ceil(2),
            WeightFormat::Q5_1 => groups * 6,
            WeightFormat::Q8_0 => groups * 8 + groups.div_ceil(2),
            WeightFormat::Q2_K => groups * 2 + blocks * 5,
            WeightFormat::Q3_K => groups * 3 + blocks * 4,
            WeightFormat::Q4_K => groups * 4 + blocks * 4,
            WeightFormat::Q5_K => groups * 5 + blocks * 4,
            WeightFormat::Q6_K => groups * 6 + blocks * 5,
            WeightFormat::IQ4_XS => groups * 4 + blocks * 2,
        };
        words.next_multiple_of(4)
    }

    /// Index in a tile of word `word` of row `row`.
    #[cfg(feature = "testing")]
    pub(crate) fn word_index(word: usize, row: usize) -> usize {
        (word / 4 * TILE + row) * 4 + word % 4
    }

    /// Packs one stored row into its words, [`WeightFormat::row_words`] of them.
    pub fn pack_row(self, row: &[u8], out: &mut [u32]) {
        let groups = row.len() / self.block_bytes() * self.block_len() / GROUP;
        let blocks = row.chunks_exact(self.block_bytes());
        match self {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 => copy_words(row, out),
            WeightFormat::Q4_0 | WeightFormat::IQ4_NL => {
                let (codes, scales) = out.split_at_mut(groups * 4);
                scales.fill(0);
                for (g, block) in blocks.enumerate() {
                    copy_words(&block[2..], &mut codes[g * 4..][..4]);
                    scales[g / 2] |= half(block, 0) << (16 * (g % 2));
                }
            }
            WeightFormat::Q4_1 => {
                let (codes, scales) = out.split_at_mut(groups * 4);
                for (g, block) in blocks.enumerate() {
                    copy_words(&block[4..], &mut codes[g * 4..][..4]);
                    scales[g] = word(block, 0);
                }
            }
            WeightFormat::Q5_0 => {
                let (codes, rest) = out.split_at_mut(groups * 4);
                let (high, scales) = rest.split_at_mut(groups);
                scales.fill(0);
                for (g, block) in blocks.enumerate() {
                    copy_words(&block[6..], &mut codes[g * 4..][..4]);
                    high[g] = word(block, 2);
                    scales[g / 2] |= half(block, 0) << (16 * (g % 2));
                }
            }
            WeightFormat::Q5_1 => {
                let (codes, rest) = out.split_at_mut(groups * 4);
                let (high, scales) = rest.split_at_mut(groups);
                for (g, block) in blocks.enumerate() {
                    copy_words(&block[8..], &mut codes[g * 4..][..4]);
                    high[g] = word(block, 4);
                    scales[g] = word(block, 0);
                }
            }
            WeightFormat::Q8_0 => {
                let (codes, scales) = out.split_at_mut(groups * 8);
                scales.fill(0);
                for (g, block) in blocks.enumerate() {
                    copy_words(&block[2..], &mut codes[g * 8..][..8]);
                    scales[g / 2] |= half(block, 0) << (16 * (g % 2));
                }
            }
            WeightFormat::Q2_K => {
                let (codes, scales) = out.split_at_mut(groups * 2);
                for (b, block) in blocks.enumerate() {
                    for g in 0..8 {
                        pack_pairs(
                            |l| two_bits(&block[16..], g, l),
                            &mut codes[(b * 8 + g) * 2..][..2],
                        );
                    }
                    copy_words(&block[..16], &mut scales[b * 5..][..4]);
                    scales[b * 5 + 4] = word(block, 80);
                }
            }
            WeightFormat::Q3_K => {
                let (codes, rest) = out.split_at_mut(groups * 2);
                let (high, scales) = rest.split_at_mut(groups);
                for (b, block) in blocks.enumerate() {
                    for g in 0..8 {
                        pack_pairs(
                            |l| two_bits(&block[32..], g, l),
                            &mut codes[(b * 8 + g) * 2..][..2],
                        );
                        high[b * 8 + g] = pack_bits(|l| block[l] >> g & 1);
                    }
                    copy_words(&block[96..108], &mut scales[b * 4..][..3]);
                    scales[b * 4 + 3] = half(block, 108);
                }
            }
            WeightFormat::Q4_K => {
                let (codes, scales) = out.split_at_mut(groups * 4);
                for (b, block) in blocks.enumerate() {
                    for g in 0..8 {
                        pack_nibbles(
                            |l| four_bits(&block[16..], g, l),
                            &mut codes[(b * 8 + g) * 4..][..4],
                        );
                    }
                    copy_words(&block[..16], &mut scales[b * 4..][..4]);
                }
            }
            WeightFormat::Q5_K => {
                let (codes, rest) = out.split_at_mut(groups * 4);
                let (high, scales) = rest.split_at_mut(groups);
                for (b, block) in blocks.enumerate() {
                    for g in 0..8 {
                        pack_nibbles(
                            |l| four_bits(&block[48..], g, l),
                            &mut codes[(b * 8 + g) * 4..][..4],
                        );
                        high[b * 8 + g] = pack_bits(|l| block[16 + l] >> g & 1);
                    }
                    copy_words(&block[..16], &mut scales[b * 4..][..4]);
                }
            }
            WeightFormat::Q6_K => {
                let (codes, rest) = out.split_at_mut(groups * 4);
                let (high, scales) = rest.split_at_mut(groups * 2);
                for (b, block) in blocks.enumerate() {
                    for g in 0..8 {
                        let (half_block, k) = (g / 4, g % 4);
                        let low = |l: usize| {
                            block[64 * half_block + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15
                        };
                        pack_nibbles(low, &mut codes[(b * 8 + g) * 4..][..4]);
                        pack_pairs(
                            |l| two_bits(&block[128..], g, l),
                            &mut high[(b * 8 + g) * 2..][..2],
                        );
                    }
                    copy_words(&block[192..208], &mut scales[b * 5..][..4]);
                    scales[b * 5 + 4] = half(block, 208);
                }
            }
            WeightFormat::IQ4_XS => {
                let (codes, scales) = out.split_at_mut(groups * 4);
                for (b, block) in blocks.enumerate() {
                    copy_words(&block[8..], &mut codes[b * 32..][..32]);
                    copy_words(&block[..8], &mut scales[b * 2..][..2]);
                }
            }
        }
    }
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    half(bytes, at) | half(bytes, at + 2) << 16
}

fn copy_words(bytes: &[u8], out: &mut [u32]) {
    for (word, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
}

/// Code of weight `l` of group `g` in a K-quant's plane of two-bit codes.
pub(super) fn two_bits(plane: &[u8], g: usize, l: usize) -> u8 {
    plane[32 * (g / 4) + l] >> (2 * (g % 4)) & 3
}

/// Code of weight `l` of group `g` in a K-quant's plane of four-bit codes.
pub(super) fn four_bits(plane: &[u8], g: usize, l: usize) -> u8 {
    plane[32 * (g / 2) + l] >> (4 * (g % 2)) & 15
}

/// Packs 32 codes of 4 bits into 4 words: byte `b` of word `i` has weights `4 i + b` (low nibble)
/// and `16 + 4 i + b` (high nibble).
fn pack_nibbles(code: impl Fn(usize) -> u8, out: &mut [u32]) {
    for (i, word) in out.iter_mut().enumerate() {
        let byte = |b: usize| u32::from(code(4 * i + b) | code(16 + 4 * i + b) << 4);
        *word = (0..4).map(|b| byte(b) << (8 * b)).sum();
    }
}

/// Packs 32 codes of 2 bits into 2 words: byte `b` of word `i` has weights `16 i + 4 k + b` at bit
/// `2 k`.
fn pack_pairs(code: impl Fn(usize) -> u8, out: &mut [u32]) {
    for (i, word) in out.iter_mut().enumerate() {
        let bits = |b: usize, k: usize| u32::from(code(16 * i + 4 * k + b)) << (8 * b + 2 * k);
        *word = (0..16).map(|n| bits(n % 4, n / 4)).sum();
    }
}

/// Packs 32 single bits into a word: weight `l` is bit `l`.
fn pack_bits(bit: impl Fn(usize) -> u8) -> u32 {
    (0..32).map(|l| u32::from(bit(l)) << l).sum()
}
