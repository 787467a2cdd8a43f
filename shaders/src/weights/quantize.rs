//! Quantisation: weights to stored blocks.
//!
//! Formats with 32 weights a block round bit for bit like the `gguf` Python package. K-quants
//! search for their scales ([`search`](super::search)), and lose no more accuracy than llama.cpp's.

use half::f16;
use thiserror::Error;

use super::WeightFormat;
use super::search::{Tries, affine, furthest, symmetric};

/// The error of quantising to a format that is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "weights can't be quantised to {format}; choose one of {}",
    writable_names()
)]
pub struct NoQuantizer {
    /// The format.
    pub format: WeightFormat,
}

fn writable_names() -> String {
    WeightFormat::writable()
        .map(WeightFormat::name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Turns one block of weights into bytes: `(weights, importance, out)`.
pub type BlockQuantizer = fn(&[f32], Option<&[f32]>, &mut [u8]);

impl WeightFormat {
    /// Quantises whole blocks: `weights.len() / block_len` of them, into as many times
    /// `block_bytes` bytes.
    ///
    /// `importance`, as long as `weights`, is the weight of each squared error: the mean square of
    /// the activation that the weight multiplies. Blocks of weights that are not finite have no
    /// meaning.
    ///
    /// # Errors
    /// The format is only read (IQ4_NL, IQ4_XS).
    pub fn quantize(
        self,
        weights: &[f32],
        importance: Option<&[f32]>,
        out: &mut [u8],
    ) -> Result<(), NoQuantizer> {
        let quantizer = self.row().quantizer.ok_or(NoQuantizer { format: self })?;
        let len = self.block_len();
        let blocks = weights
            .chunks_exact(len)
            .zip(out.chunks_exact_mut(self.block_bytes()));
        for (block, (weights, out)) in blocks.enumerate() {
            let importance = importance.and_then(|all| all.get(block * len..)?.get(..len));
            quantizer(weights, importance, out);
        }
        Ok(())
    }
}

/// Stores `x` as f16 at byte `at`. Returns the stored number.
pub(super) fn store_f16(out: &mut [u8], at: usize, x: f32) -> f32 {
    let half = f16::from_f32(x);
    out[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The weight of each squared error: the importance of the input, and more for large weights.
pub(super) fn error_weights(x: &[f32], importance: &[f32], variance: f32) -> Vec<f32> {
    x.iter()
        .zip(importance)
        .map(|(x, importance)| importance * (variance + x * x).sqrt())
        .collect()
}

/// The mean of the squares.
pub(super) fn mean_square(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32
}

fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// Q4_0 (8 levels on each side of zero) and Q5_0 (16).
pub(super) fn symmetric_codes<const LEVELS: i32>(
    x: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
) {
    let d = match importance {
        Some(importance) => symmetric(x, &error_weights(x, importance, mean_square(x)), LEVELS),
        None => furthest(x) / -LEVELS as f32,
    };
    store_f16(out, 0, d);
    let inverse = inverse(d);
    codes::<LEVELS>(&mut out[2..], |i| {
        (x[i] * inverse + (LEVELS as f32 + 0.5)) as i32
    });
}

/// Q4_1 (codes up to 15) and Q5_1 (up to 31).
pub(super) fn with_minimum<const MOST: i32>(x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    let (d, minimum) = match importance {
        Some(importance) => {
            let tries = Tries {
                first: -0.9,
                step: 0.05,
                count: 37,
                magnitude: false,
            };
            let (d, minimum) = affine(
                x,
                &error_weights(x, importance, mean_square(x)),
                MOST,
                tries,
            );
            (d, -minimum)
        }
        None => {
            let low = x.iter().copied().fold(f32::MAX, f32::min);
            let high = x.iter().copied().fold(f32::MIN, f32::max);
            ((high - low) / MOST as f32, low)
        }
    };
    store_f16(out, 0, d);
    store_f16(out, 2, minimum);
    let inverse = inverse(d);
    // The codes of a symmetric format of the same width go as far on both sides together.
    match MOST {
        15 => codes::<8>(&mut out[4..], |i| ((x[i] - minimum) * inverse + 0.5) as i32),
        _ => codes::<16>(&mut out[4..], |i| ((x[i] - minimum) * inverse + 0.5) as i32),
    }
}

/// Q8_0.
pub(super) fn signed_bytes(x: &[f32], _: Option<&[f32]>, out: &mut [u8]) {
    let d = furthest(x).abs() / 127.0;
    store_f16(out, 0, d);
    let inverse = inverse(d);
    for (out, x) in out[2..].iter_mut().zip(x) {
        // Ties round away from zero.
        *out = (x * inverse).round() as i8 as u8;
    }
}

/// Stores 32 codes of four bits (`HALF` 8), or of five (`HALF` 16) with the fifth bits first.
fn codes<const HALF: i32>(out: &mut [u8], code: impl Fn(usize) -> i32) {
    let low = if HALF == 16 { 4 } else { 0 };
    out.fill(0);
    for i in 0..32 {
        let code = code(i).clamp(0, 2 * HALF - 1) as u8;
        out[low + i % 16] |= (code & 15) << (4 * (i / 16));
        if HALF == 16 {
            out[i / 8] |= (code >> 4) << (i % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The normalised mean square error of quantising `x`, with the squared errors weighted by `w`.
    fn error(format: WeightFormat, x: &[f32], importance: Option<&[f32]>, w: &[f32]) -> f64 {
        let mut stored = vec![0xAA; x.len() / format.block_len() * format.block_bytes()];
        format
            .quantize(x, importance, &mut stored)
            .expect("a writable format");
        let mut back = vec![0.0; x.len()];
        format.dequantize(&stored, &mut back);
        let sum = |term: &dyn Fn(usize) -> f32| {
            (0..x.len()).map(|i| f64::from(w[i] * term(i))).sum::<f64>()
        };
        sum(&|i| (x[i] - back[i]).powi(2)) / sum(&|i| x[i] * x[i])
    }

    fn gaussian(count: usize) -> Vec<f32> {
        let mut random = Random::new(7);
        (0..count).map(|_| random.normal()).collect()
    }

    #[test]
    fn importance_moves_the_error_to_where_it_matters_less() {
        let x = gaussian(1 << 13);
        let importance: Vec<f32> = (0..x.len())
            .map(|i| if i % 4 == 0 { 30.0 } else { 0.1 })
            .collect();
        for format in
            WeightFormat::writable().filter(|f| f.block_len() > 1 && *f != WeightFormat::Q8_0)
        {
            let (with, without) = (
                error(format, &x, Some(&importance), &importance),
                error(format, &x, None, &importance),
            );
            assert!(with < without, "{format}: {with:.3e} for {without:.3e}");
        }
    }

    #[test]
    fn degenerate_blocks_survive() {
        for value in [
            0.0,
            -0.0,
            1e-30,
            -1e-30,
            1e30,
            f32::MAX,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ] {
            for format in WeightFormat::writable() {
                for importance in [None, Some(vec![0.0; 512]), Some(vec![f32::NAN; 512])] {
                    let mut x = vec![value; 512];
                    let mut out = vec![0; 512 / format.block_len() * format.block_bytes()];
                    format
                        .quantize(&x, importance.as_deref(), &mut out)
                        .expect("a writable format");
                    if value == 0.0 {
                        format.dequantize(&out, &mut x);
                        assert!(
                            x.iter().all(|&x| x == 0.0),
                            "{format}: zeros come back as {:?}",
                            &x[..4]
                        );
                    }
                }
            }
        }
        assert!(
            WeightFormat::IQ4_NL
                .quantize(&[0.0; 32], None, &mut [0; 18])
                .is_err()
        );
    }
}
