//! Scales that lose least: least squares over a few ways to round, as llama.cpp's quantisers for
//! the K types do it (Kawrakow, 2023), each weight's error counted by how much it matters.

/// To the nearest integer, halves to even.
pub(super) fn nearest(x: f32) -> i32 {
    rounded(x.clamp(-ROUNDABLE, ROUNDABLE)) as i32
}

/// Floats beyond this are not rounded by [`rounded`].
const ROUNDABLE: f32 = 4_194_304.0;

/// To the nearest integer, halves to even, for magnitudes up to [`ROUNDABLE`]: in the sum the last
/// bit is worth 1. Unlike `round_ties_even` that is two additions on every processor, also of
/// vectors.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// Elements of a group at most.
const MOST: usize = 32;
/// Sums that grow side by side.
const LANES: usize = 8;

/// The sums of what `each` makes of the elements, a multiple of [`LANES`] of them. A call for each
/// would take most of the time.
#[inline(always)]
fn sums<const N: usize>(len: usize, each: impl Fn(usize) -> [f32; N]) -> [f32; N] {
    let mut lanes = [[0.0; LANES]; N];
    for first in (0..len).step_by(LANES) {
        for lane in 0..LANES {
            let terms = each(first + lane);
            for (sums, term) in lanes.iter_mut().zip(terms) {
                sums[lane] += term;
            }
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The element furthest from zero, with its sign; the first of several.
pub(super) fn furthest(x: &[f32]) -> f32 {
    x.iter().copied().fold(
        0.0,
        |most: f32, x| if x.abs() > most.abs() { x } else { most },
    )
}

/// A group whose largest magnitude is below this is stored as zeros.
const TINY: f32 = 1e-15;

/// The scale `d` of codes from `-levels` to `levels - 1` that makes `sum w (x - d code)^2` small.
/// It is negative where that lets the largest magnitude use the longer side.
pub(super) fn symmetric(x: &[f32], w: &[f32], levels: i32) -> f32 {
    let w = &w[..x.len()];
    let peak = furthest(x);
    if peak.abs() < TINY {
        return 0.0;
    }
    let (mut best, mut scale) = (0.0, 0.0);
    // The plain rounding first: of two that are as good, it stays.
    for step in [0].into_iter().chain(-9..0).chain(1..=9) {
        let inverse = -(levels as f32 + 0.1 * step as f32) / peak;
        let [xl, ll] = sums(x.len(), |i| {
            let code = rounded(inverse * x[i])
                .max(-levels as f32)
                .min((levels - 1) as f32);
            [w[i] * x[i] * code, w[i] * code * code]
        });
        // What is left is `sum w x^2 - xl^2 / ll`.
        if ll > 0.0 && xl * xl > best * ll {
            scale = xl / ll;
            best = scale * xl;
        }
    }
    scale
}

/// As [`symmetric`] with the square of each element as its weight, for few levels: starts from the
/// plain rounding and moves single codes while that helps.
pub(super) fn moved(x: &[f32], levels: i32) -> f32 {
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

/// Which roundings [`affine`] tries, and how it measures.
#[derive(Clone, Copy)]
pub(super) struct Tries {
    /// The first one stretches the codes by so much over the largest.
    pub first: f32,
    /// How much more each of the others does.
    pub step: f32,
    /// How many there are.
    pub count: i32,
    /// Whether errors count by magnitude, not by square.
    pub magnitude: bool,
}

/// The scale and the minimum of codes from 0 to `most` that make the error of `scale * code -
/// minimum` small, weighted by `w`. Neither is negative.
pub(super) fn affine(x: &[f32], w: &[f32], most: i32, tries: Tries) -> (f32, f32) {
    let (x, w) = (&x[..x.len().min(MOST)], &w[..x.len().min(MOST)]);
    let lowest = x.iter().copied().fold(0.0, f32::min);
    let high = x.iter().copied().fold(f32::MIN, f32::max);
    // NaN is no range either.
    if high.partial_cmp(&lowest) != Some(std::cmp::Ordering::Greater) {
        return (0.0, -lowest);
    }
    let [sum_w, sum_x] = sums(x.len(), |i| [w[i], x[i] * w[i]]);
    let mut best = (f32::INFINITY, (high - lowest) / most as f32, lowest);
    let mut codes = [0.0; MOST];
    // The first step is the plain rounding, as it is. Each of the others starts from the best
    // minimum so far.
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
