//! The search for scales with the least weighted squared error, over a few ways to round. The
//! method is that of llama.cpp's quantisers for K-quants (Kawrakow, 2023).

/// Rounds to the nearest integer, ties to even.
pub(super) fn nearest(x: f32) -> i32 {
    rounded(x.clamp(-ROUNDABLE, ROUNDABLE)) as i32
}

/// The largest magnitude that [`rounded`] rounds.
const ROUNDABLE: f32 = 4_194_304.0;

/// Rounds to the nearest integer, ties to even, for magnitudes up to [`ROUNDABLE`].
///
/// In the sum with `SHIFT` the last bit counts 1. Unlike `round_ties_even` these are two additions
/// on every processor, for vectors as well.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// The most elements of a group.
const MAX_GROUP: usize = 32;
/// Independent partial sums, which compilers vectorise.
const PARTIAL_SUMS: usize = 8;

/// The sums over `each` element of `N` terms; `len` is a multiple of [`PARTIAL_SUMS`]. Inlined,
/// because calls would take most of the time.
#[inline(always)]
fn sums<const N: usize>(len: usize, each: impl Fn(usize) -> [f32; N]) -> [f32; N] {
    let mut partial = [[0.0; PARTIAL_SUMS]; N];
    for first in (0..len).step_by(PARTIAL_SUMS) {
        for slot in 0..PARTIAL_SUMS {
            let terms = each(first + slot);
            for (sums, term) in partial.iter_mut().zip(terms) {
                sums[slot] += term;
            }
        }
    }
    partial.map(|sums| sums.iter().sum())
}

/// The first element of the largest magnitude.
pub(super) fn furthest(x: &[f32]) -> f32 {
    x.iter().copied().fold(
        0.0,
        |most: f32, x| if x.abs() > most.abs() { x } else { most },
    )
}

/// Groups whose largest magnitude is below this are stored as zeros.
const TINY: f32 = 1e-15;

/// The scale `d` of codes from `-levels` to `levels - 1` that makes `sum w (x - d code)^2` small.
///
/// The scale may be negative, so that the largest magnitude gets the code `-levels`.
pub(super) fn symmetric(x: &[f32], w: &[f32], levels: i32) -> f32 {
    let w = &w[..x.len()];
    let peak = furthest(x);
    if peak.abs() < TINY {
        return 0.0;
    }
    let (mut best, mut scale) = (0.0, 0.0);
    // The plain rounding comes first: it wins ties.
    for step in [0].into_iter().chain(-9..0).chain(1..=9) {
        let inverse = -(levels as f32 + 0.1 * step as f32) / peak;
        let [xl, ll] = sums(x.len(), |i| {
            let code = rounded(inverse * x[i])
                .max(-levels as f32)
                .min((levels - 1) as f32);
            [w[i] * x[i] * code, w[i] * code * code]
        });
        // The error is `sum w x^2 - xl^2 / ll`.
        if ll > 0.0 && xl * xl > best * ll {
            scale = xl / ll;
            best = scale * xl;
        }
    }
    scale
}

/// Like [`symmetric`], weighted by the square of each element, for few levels: coordinate descent
/// from the plain rounding, one code at a time.
pub(super) fn coordinate_descent(x: &[f32], levels: i32) -> f32 {
    let peak = furthest(x);
    if peak.abs() < TINY {
        return 0.0;
    }
    let inverse = -levels as f32 / peak;
    let clamped = |code: f32| nearest(code).clamp(-levels, levels - 1) as f32;
    let mut codes: Vec<f32> = x.iter().map(|x| clamped(inverse * x)).collect();
    let (mut xl, mut ll) = (0.0, 0.0);
    for (&x, &code) in x.iter().zip(&codes) {
        xl += x * x * x * code;
        ll += x * x * code * code;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (&x, code) in x.iter().zip(&mut codes) {
            let w = x * x;
            let (others_xl, others_ll) = (xl - w * x * *code, ll - w * *code * *code);
            if others_xl <= 0.0 {
                continue;
            }
            let new = clamped(x * others_ll / others_xl);
            let (new_xl, new_ll) = (others_xl + w * x * new, others_ll + w * new * new);
            if new != *code && new_ll > 0.0 && new_xl * new_xl * ll > xl * xl * new_ll {
                (*code, xl, ll, changed) = (new, new_xl, new_ll, true);
            }
        }
        if !changed {
            break;
        }
    }
    if ll > 0.0 { xl / ll } else { 0.0 }
}

/// The roundings that [`affine`] tries, and its error measure.
#[derive(Clone, Copy)]
pub(super) struct Tries {
    /// The first rounding stretches the range of codes by this much beyond the largest.
    pub first: f32,
    /// The additional stretch of each further rounding.
    pub step: f32,
    /// Number of roundings.
    pub count: i32,
    /// Whether the error is the sum of magnitudes instead of squares.
    pub magnitude: bool,
}

/// The scale and the minimum of codes from 0 to `most` that make the error of `scale * code -
/// minimum` small, weighted by `w`. Neither is negative.
pub(super) fn affine(x: &[f32], w: &[f32], most: i32, tries: Tries) -> (f32, f32) {
    let (x, w) = (&x[..x.len().min(MAX_GROUP)], &w[..x.len().min(MAX_GROUP)]);
    let lowest = x.iter().copied().fold(0.0, f32::min);
    let high = x.iter().copied().fold(f32::MIN, f32::max);
    // False for NaN as well.
    if high.partial_cmp(&lowest) != Some(std::cmp::Ordering::Greater) {
        return (0.0, -lowest);
    }
    let [sum_w, sum_x] = sums(x.len(), |i| [w[i], x[i] * w[i]]);
    let mut best = (f32::INFINITY, (high - lowest) / most as f32, lowest);
    let mut codes = [0.0; MAX_GROUP];
    // The first step is the plain rounding. Each further step starts from the best minimum so far.
    for step in -1..tries.count {
        let low = best.2;
        let stretched = if step < 0 {
            most as f32
        } else {
            tries.first + tries.step * step as f32 + most as f32
        };
        let inverse = stretched / (high - low);
        for (code, x) in codes.iter_mut().zip(x) {
            *code = rounded(inverse * (x - low)).max(0.0).min(most as f32);
        }
        let (mut scale, mut minimum) = (best.1, best.2);
        if step >= 0 {
            let [l, ll, xl] = sums(x.len(), |i| {
                let code = codes[i];
                [w[i] * code, w[i] * code * code, w[i] * code * x[i]]
            });
            let determinant = sum_w * ll - l * l;
            if determinant <= 0.0 {
                continue;
            }
            scale = (sum_w * xl - sum_x * l) / determinant;
            minimum = (ll * sum_x - l * xl) / determinant;
            if minimum > 0.0 {
                (scale, minimum) = (xl / ll, 0.0);
            }
        }
        let [error] = sums(x.len(), |i| {
            let off = scale * codes[i] + minimum - x[i];
            [w[i]
                * if tries.magnitude {
                    off.abs()
                } else {
                    off * off
                }]
        });
        if error < best.0 {
            best = (error, scale, minimum);
        }
    }
    (best.1, -best.2)
}
