//! Packed words back to stored bytes. References read weights so, and tests prove that packing
//! loses nothing.

use super::{GROUP, TILE, WeightFormat};

/// Row `row` of a packed matrix, dequantised.
pub fn unpack_row(format: WeightFormat, width: usize, words: &[u32], row: usize) -> Vec<f32> {
    let len = format.row_words(width);
    let tile = &words[row / TILE * TILE * len..];
    let row_words: Vec<u32> = (0..len)
        .map(|word| tile[WeightFormat::word_index(word, row % TILE)])
        .collect();
    let mut out = vec![0.0; width];
    format.dequantize(&format.unpack_row(&row_words, width), &mut out);
    out
}

impl WeightFormat {
    /// The stored bytes of a row: the inverse of [`WeightFormat::pack_row`].
    pub fn unpack_row(self, words: &[u32], weights: usize) -> Vec<u8> {
        let groups = weights / GROUP;
        let mut row = Vec::with_capacity(weights / self.block_len() * self.block_bytes());
        let half = |plane: usize, g: usize| {
            ((words[plane + g / 2] >> (16 * (g % 2))) as u16).to_le_bytes()
        };
        let put = |row: &mut Vec<u8>, from: usize, len: usize| {
            row.extend(words[from..from + len].iter().flat_map(|w| w.to_le_bytes()));
        };
        match self {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 => {
                put(&mut row, 0, words.len())
            }
            WeightFormat::Q4_0 | WeightFormat::IQ4_NL => {
                for g in 0..groups {
                    row.extend(half(groups * 4, g));
                    put(&mut row, g * 4, 4);
                }
            }
            WeightFormat::Q4_1 => {
                for g in 0..groups {
                    put(&mut row, groups * 4 + g, 1);
                    put(&mut row, g * 4, 4);
                }
            }
            WeightFormat::Q5_0 => {
                for g in 0..groups {
                    row.extend(half(groups * 5, g));
                    put(&mut row, groups * 4 + g, 1);
                    put(&mut row, g * 4, 4);
                }
            }
            WeightFormat::Q5_1 => {
                for g in 0..groups {
                    put(&mut row, groups * 5 + g, 1);
                    put(&mut row, groups * 4 + g, 1);
                    put(&mut row, g * 4, 4);
                }
            }
            WeightFormat::Q8_0 => {
                for g in 0..groups {
                    row.extend(half(groups * 8, g));
                    put(&mut row, g * 8, 8);
                }
            }
            WeightFormat::Q2_K => {
                for b in 0..groups / 8 {
                    let scales = groups * 2 + b * 5;
                    put(&mut row, scales, 4);
                    row.extend(two_bit_plane(|g, l| pair(&words[(b * 8 + g) * 2..], l)));
                    put(&mut row, scales + 4, 1);
                }
            }
            WeightFormat::Q3_K => {
                for b in 0..groups / 8 {
                    let scales = groups * 3 + b * 4;
                    row.extend(bit_plane(&words[groups * 2 + b * 8..]));
                    row.extend(two_bit_plane(|g, l| pair(&words[(b * 8 + g) * 2..], l)));
                    put(&mut row, scales, 3);
                    row.extend((words[scales + 3] as u16).to_le_bytes());
                }
            }
            WeightFormat::Q4_K => {
                for b in 0..groups / 8 {
                    put(&mut row, groups * 4 + b * 4, 4);
                    row.extend(four_bit_plane(|g, l| nibble(&words[(b * 8 + g) * 4..], l)));
                }
            }
            WeightFormat::Q5_K => {
                for b in 0..groups / 8 {
                    put(&mut row, groups * 5 + b * 4, 4);
                    row.extend(bit_plane(&words[groups * 4 + b * 8..]));
                    row.extend(four_bit_plane(|g, l| nibble(&words[(b * 8 + g) * 4..], l)));
                }
            }
            WeightFormat::Q6_K => {
                for b in 0..groups / 8 {
                    let low = |g: usize, l: usize| nibble(&words[(b * 8 + g) * 4..], l);
                    // Byte i of a half block: groups (i / 32) and (i / 32) + 2 of that half.
                    row.extend((0..128).map(|i| {
                        let (g, l) = (4 * (i / 64) + i / 32 % 2, i % 32);
                        low(g, l) | low(g + 2, l) << 4
                    }));
                    row.extend(two_bit_plane(|g, l| {
                        pair(&words[groups * 4 + (b * 8 + g) * 2..], l)
                    }));
                    let scales = groups * 6 + b * 5;
                    put(&mut row, scales, 4);
                    row.extend((words[scales + 4] as u16).to_le_bytes());
                }
            }
            WeightFormat::IQ4_XS => {
                for b in 0..groups / 8 {
                    put(&mut row, groups * 4 + b * 2, 2);
                    put(&mut row, b * 32, 32);
                }
            }
        }
        row
    }
}

fn nibble(words: &[u32], l: usize) -> u8 {
    (words[l % 16 / 4] >> (8 * (l % 4) + 4 * (l / 16)) & 15) as u8
}

fn pair(words: &[u32], l: usize) -> u8 {
    (words[l / 16] >> (8 * (l % 4) + 2 * (l % 16 / 4)) & 3) as u8
}

/// 64 bytes of two-bit codes: byte `i` has weight `i % 32` of groups `4 (i / 32)` to
/// `4 (i / 32) + 3`.
fn two_bit_plane(code: impl Fn(usize, usize) -> u8) -> impl Iterator<Item = u8> {
    (0..64).map(move |i| {
        (0..4)
            .map(|k| code(4 * (i / 32) + k, i % 32) << (2 * k))
            .sum()
    })
}

/// 128 bytes of four-bit codes: byte `i` has weight `i % 32` of groups `2 (i / 32)` and
/// `2 (i / 32) + 1`.
fn four_bit_plane(code: impl Fn(usize, usize) -> u8) -> impl Iterator<Item = u8> {
    (0..128).map(move |i| code(2 * (i / 32), i % 32) | code(2 * (i / 32) + 1, i % 32) << 4)
}

/// 32 bytes of single bits: bit `g` of byte `l` belongs to weight `l` of group `g`.
fn bit_plane(words: &[u32]) -> impl Iterator<Item = u8> {
    (0..32).map(|l| (0..8).map(|g| ((words[g] >> l & 1) as u8) << g).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn packing_loses_nothing() {
        for format in WeightFormat::ALL {
            for weights in [256, 768] {
                let mut row = vec![0; weights / format.block_len() * format.block_bytes()];
                Random::new(7).fill_bytes(&mut row);
                let mut words = vec![0; format.row_words(weights)];
                format.pack_row(&row, &mut words);
                assert_eq!(format.unpack_row(&words, weights), row, "{format}");
            }
        }
    }
}
