//! Quantisers of the K-quants: 256 weights a block, in groups with small scales of their own.

use super::quantize::{error_weights, mean_square, store_f16};
use super::search::{Tries, affine, coordinate_descent, furthest, nearest, symmetric};

/// The weights of squared errors without an importance matrix: the magnitude of each weight over a
/// floor.
fn magnitudes(x: &[f32], floor: f32) -> Vec<f32> {
    x.iter().map(|x| floor + x.abs()).collect()
}

/// The weights of a group's squared errors: by importance, or else by `otherwise`.
fn group_error_weights(
    x: &[f32],
    importance: Option<&[f32]>,
    group: usize,
    len: usize,
    otherwise: fn(&[f32]) -> Vec<f32>,
) -> Vec<f32> {
    let group_x = &x[group * len..][..len];
    match importance {
        Some(importance) => {
            let importance = &importance[group * len..][..len];
            error_weights(group_x, importance, 2.0 * mean_square(x))
        }
        None => otherwise(group_x),
    }
}

/// Quantises scales to integers up to `most`. Returns these and their f16 unit, which it stores at
/// byte `at`.
fn quantize_scales<const N: usize>(
    scales: &[f32; N],
    most: i32,
    out: &mut [u8],
    at: usize,
) -> ([u8; N], f32) {
    let peak = scales.iter().copied().fold(0.0, f32::max);
    let inverse = if peak > 0.0 { most as f32 / peak } else { 0.0 };
    let d = store_f16(out, at, peak / most as f32);
    (
        scales.map(|scale| nearest(inverse * scale).clamp(0, most) as u8),
        d,
    )
}

/// The codes of all groups of `len` weights: `(x + minimum) / scale`, clamped to `low..=high`,
/// minus `low`. A scale of 0 gives code 0 before the clamp.
fn codes(
    x: &[f32],
    len: usize,
    low: i32,
    high: i32,
    group: impl Fn(usize) -> (f32, f32),
) -> Vec<u8> {
    let each = |(i, x): (usize, &f32)| {
        let (scale, minimum) = group(i / len);
        let code = if scale == 0.0 {
            0.0
        } else {
            (x + minimum) / scale
        };
        (nearest(code).clamp(low, high) - low) as u8
    };
    x.iter().enumerate().map(each).collect()
}

/// Stores 64 bytes of two-bit codes: byte `i` has weight `i % 32` of groups `4 (i / 32)` to
/// `4 (i / 32) + 3` of 32.
fn store_2bit(out: &mut [u8], code: impl Fn(usize) -> u8) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = (0..4)
            .map(|k| (code(128 * (i / 32) + 32 * k + i % 32) & 3) << (2 * k))
            .sum();
    }
}

/// Stores 32 bytes of single bits: bit `g` of byte `l` belongs to weight `l` of group `g` of 32.
fn store_bits(out: &mut [u8], bit: impl Fn(usize) -> bool) {
    for (l, out) in out.iter_mut().enumerate() {
        *out = (0..8).map(|g| u8::from(bit(32 * g + l)) << g).sum();
    }
}

/// Q2_K.
pub(super) fn q2(x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    let (mut scales, mut minima) = ([0.0; 16], [0.0; 16]);
    for group in 0..16 {
        let w = group_error_weights(x, importance, group, 16, |x| magnitudes(x, 0.0));
        let tries = match importance {
            Some(_) => Tries {
                first: -0.9,
                step: 0.05,
                count: 37,
                magnitude: false,
            },
            None => Tries {
                first: -0.5,
                step: 0.1,
                count: 16,
                magnitude: true,
            },
        };
        (scales[group], minima[group]) = affine(&x[16 * group..][..16], &w, 3, tries);
    }
    let (scales, d) = quantize_scales(&scales, 15, out, 80);
    let (minima, dmin) = quantize_scales(&minima, 15, out, 82);
    for group in 0..16 {
        out[group] = scales[group] | minima[group] << 4;
    }
    let codes = codes(x, 16, 0, 3, |group| {
        (
            d * f32::from(scales[group]),
            dmin * f32::from(minima[group]),
        )
    });
    store_2bit(&mut out[16..80], |i| codes[i]);
}

/// Q3_K.
pub(super) fn q3(x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    let mut scales = [0.0; 16];
    for (group, scale) in scales.iter_mut().enumerate() {
        let group_x = &x[16 * group..][..16];
        *scale = match importance {
            Some(_) => symmetric(
                group_x,
                &group_error_weights(x, importance, group, 16, |_| Vec::new()),
                4,
            ),
            None => coordinate_descent(group_x, 4),
        };
    }
    let peak = furthest(&scales);
    let inverse = if peak == 0.0 { 0.0 } else { -32.0 / peak };
    let d = store_f16(out, 108, if peak == 0.0 { 0.0 } else { 1.0 / inverse });
    let stored = scales.map(|scale| (nearest(inverse * scale).clamp(-32, 31) + 32) as u8);
    out[96..108].fill(0);
    for (group, scale) in stored.into_iter().enumerate() {
        out[96 + group % 8] |= (scale & 15) << (4 * (group / 8));
        out[104 + group % 4] |= (scale >> 4) << (2 * (group / 4));
    }
    let codes = codes(x, 16, -4, 3, |group| {
        (d * (f32::from(stored[group]) - 32.0), 0.0)
    });
    store_bits(&mut out[..32], |i| codes[i] > 3);
    store_2bit(&mut out[32..96], |i| codes[i]);
}

/// Q4_K (codes up to 15) and Q5_K (up to 31).
pub(super) fn q4_q5<const MOST: i32>(x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    let (mut scales, mut minima) = ([0.0; 8], [0.0; 8]);
    for group in 0..8 {
        let w = group_error_weights(x, importance, group, 32, |x| {
            magnitudes(x, mean_square(x).sqrt())
        });
        let tries = match (importance, MOST) {
            (Some(_), _) => Tries {
                first: -0.9,
                step: 0.05,
                count: 37,
                magnitude: false,
            },
            (None, 15) => Tries {
                first: -1.0,
                step: 0.1,
                count: 21,
                magnitude: false,
            },
            (None, _) => Tries {
                first: -0.5,
                step: 0.1,
                count: 16,
                magnitude: false,
            },
        };
        (scales[group], minima[group]) = affine(&x[32 * group..][..32], &w, MOST, tries);
    }
    let (scales, d) = quantize_scales(&scales, 63, out, 0);
    let (minima, dmin) = quantize_scales(&minima, 63, out, 2);
    out[4..16].fill(0);
    for (group, (scale, minimum)) in scales.into_iter().zip(minima).enumerate() {
        match group {
            0..4 => (out[4 + group], out[8 + group]) = (scale, minimum),
            _ => {
                out[8 + group] = scale & 15 | (minimum & 15) << 4;
                out[group] |= (scale >> 4) << 6;
                out[4 + group] |= (minimum >> 4) << 6;
            }
        }
    }
    let codes = codes(x, 32, 0, MOST, |group| {
        (
            d * f32::from(scales[group]),
            dmin * f32::from(minima[group]),
        )
    });
    let low = if MOST == 31 {
        store_bits(&mut out[16..48], |i| codes[i] > 15);
        48
    } else {
        16
    };
    for (i, out) in out[low..].iter_mut().enumerate() {
        let code = |group: usize| codes[32 * group + i % 32] & 15;
        *out = code(2 * (i / 32)) | code(2 * (i / 32) + 1) << 4;
    }
}

/// Q6_K.
pub(super) fn q6(x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    let mut scales = [0.0; 16];
    for (group, scale) in scales.iter_mut().enumerate() {
        let w = match importance {
            // With six bits, the squares of the weights serve as error weights.
            None => x[16 * group..][..16].iter().map(|x| x * x).collect(),
            Some(importance) => importance[16 * group..][..16].to_vec(),
        };
        *scale = symmetric(&x[16 * group..][..16], &w, 32);
    }
    let peak = furthest(&scales);
    let inverse = if peak == 0.0 { 0.0 } else { -128.0 / peak };
    let d = store_f16(out, 208, if peak == 0.0 { 0.0 } else { 1.0 / inverse });
    let stored = scales.map(|scale| nearest(inverse * scale).clamp(-128, 127) as i8);
    for (out, scale) in out[192..208].iter_mut().zip(stored) {
        *out = scale as u8;
    }
    let codes = codes(x, 16, -32, 31, |group| (d * f32::from(stored[group]), 0.0));
    for (i, out) in out[..128].iter_mut().enumerate() {
        // Groups (i / 32) and (i / 32) + 2 of each half block.
        let at = 128 * (i / 64) + i % 64;
        *out = codes[at] & 15 | (codes[at + 64] & 15) << 4;
    }
    store_2bit(&mut out[128..192], |i| codes[i] >> 4);
}
