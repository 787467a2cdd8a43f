//! Dequantisation on the CPU, bit for bit as GGUF's own tools do it.
//!
//! Each product and sum is rounded to f32, in the order of the `gguf` Python package. Kernels
//! compute the same formulas from packed words with fused operations.

use half::{bf16, f16};

use super::WeightFormat;
use super::planes::{four_bits, two_bits};

/// The 16 values that IQ4 codes index (ggml's `kvalues_iq4nl`).
const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

impl WeightFormat {
    /// Stored bytes of `weights` weights. `None` if these are no whole number of blocks, or if the
    /// product overflows.
    pub fn bytes(self, weights: u64) -> Option<u64> {
        let block = self.block_len() as u64;
        if !weights.is_multiple_of(block) {
            return None;
        }
        (weights / block).checked_mul(self.block_bytes() as u64)
    }

    /// Dequantises whole blocks: `bytes.len() / block_bytes` of them, into as many times
    /// `block_len` floats.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes
            .chunks_exact(self.block_bytes())
            .zip(out.chunks_exact_mut(self.block_len()));
        for (block, out) in blocks {
            self.dequantize_block(block, out);
        }
    }

    fn dequantize_block(self, b: &[u8], out: &mut [f32]) {
        match self {
            WeightFormat::F32 => out[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            WeightFormat::F16 => out[0] = half(b, 0),
            WeightFormat::BF16 => out[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            WeightFormat::Q4_0 => {
                let d = half(b, 0);
                fill(out, |i| d * (f32::from(nibble(&b[2..], i)) - 8.0));
            }
            WeightFormat::Q4_1 => {
                let (d, m) = (half(b, 0), half(b, 2));
                fill(out, |i| d * f32::from(nibble(&b[4..], i)) + m);
            }
            WeightFormat::Q5_0 => {
                let d = half(b, 0);
                fill(out, |i| {
                    d * (f32::from(nibble(&b[6..], i) | bit(&b[2..], i) << 4) - 16.0)
                });
            }
            WeightFormat::Q5_1 => {
                let (d, m) = (half(b, 0), half(b, 2));
                fill(out, |i| {
                    d * f32::from(nibble(&b[8..], i) | bit(&b[4..], i) << 4) + m
                });
            }
            WeightFormat::Q8_0 => {
                let d = half(b, 0);
                fill(out, |i| d * f32::from(b[2 + i] as i8));
            }
            WeightFormat::Q2_K => {
                let (d, dmin) = (half(b, 80), half(b, 82));
                fill(out, |i| {
                    let s = b[i / 16];
                    d * f32::from(s & 15) * f32::from(two_bits(&b[16..], i / 32, i % 32))
                        - dmin * f32::from(s >> 4)
                });
            }
            WeightFormat::Q3_K => {
                let d = half(b, 108);
                fill(out, |i| {
                    let high = 4 * (1 - (b[i % 32] >> (i / 32) & 1));
                    let q = f32::from(two_bits(&b[32..], i / 32, i % 32)) - f32::from(high);
                    d * (f32::from(q3_scale(&b[96..], i / 16)) - 32.0) * q
                });
            }
            WeightFormat::Q4_K => {
                let (d, dmin) = (half(b, 0), half(b, 2));
                fill(out, |i| {
                    let (s, m) = scale_min(&b[4..], i / 32);
                    d * f32::from(s) * f32::from(four_bits(&b[16..], i / 32, i % 32))
                        - dmin * f32::from(m)
                });
            }
            WeightFormat::Q5_K => {
                let (d, dmin) = (half(b, 0), half(b, 2));
                fill(out, |i| {
                    let (s, m) = scale_min(&b[4..], i / 32);
                    let high = b[16 + i % 32] >> (i / 32) & 1;
                    let q = four_bits(&b[48..], i / 32, i % 32) | high << 4;
                    d * f32::from(s) * f32::from(q) - dmin * f32::from(m)
                });
            }
            WeightFormat::Q6_K => {
                let d = half(b, 208);
                fill(out, |i| {
                    let (g, l) = (i / 32, i % 32);
                    let low = b[64 * (g / 4) + 32 * (g % 2) + l] >> (4 * (g % 4 / 2)) & 15;
                    let q = low | two_bits(&b[128..], g, l) << 4;
                    d * f32::from(b[192 + i / 16] as i8) * (f32::from(q) - 32.0)
                });
            }
            WeightFormat::IQ4_NL => {
                let d = half(b, 0);
                fill(out, |i| {
                    d * f32::from(IQ4_VALUES[usize::from(nibble(&b[2..], i))])
                });
            }
            WeightFormat::IQ4_XS => {
                let (d, high) = (half(b, 0), u16::from_le_bytes([b[2], b[3]]));
                fill(out, |i| {
                    let (g, l) = (i / 32, i % 32);
                    let s = b[4 + g / 2] >> (4 * (g % 2)) & 15 | ((high >> (2 * g) & 3) as u8) << 4;
                    d * (f32::from(s) - 32.0)
                        * f32::from(IQ4_VALUES[usize::from(nibble(&b[8 + 16 * g..], l))])
                });
            }
        }
    }
}

fn fill(out: &mut [f32], weight: impl Fn(usize) -> f32) {
    out.iter_mut()
        .enumerate()
        .for_each(|(i, out)| *out = weight(i));
}

fn half(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

/// Code `i` of 32 in 16 bytes: first the low nibbles, then the high ones.
fn nibble(b: &[u8], i: usize) -> u8 {
    b[i % 16] >> (4 * (i / 16)) & 15
}

fn bit(b: &[u8], i: usize) -> u8 {
    b[i / 8] >> (i % 8) & 1
}

/// Six-bit scale and minimum of group `g` of 8, in 12 bytes.
fn scale_min(b: &[u8], g: usize) -> (u8, u8) {
    match g {
        0..4 => (b[g] & 63, b[g + 4] & 63),
        _ => (
            b[g + 4] & 15 | b[g - 4] >> 6 << 4,
            b[g + 4] >> 4 | b[g] >> 6 << 4,
        ),
    }
}

/// Six-bit scale `i` of 16, in 12 bytes.
fn q3_scale(b: &[u8], i: usize) -> u8 {
    b[i % 8] >> (4 * (i / 8)) & 15 | (b[8 + i % 4] >> (2 * (i / 4)) & 3) << 4
}
