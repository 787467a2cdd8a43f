//! Scales that lose least: least squares over a few ways to round, as llama.cpp's quantisers for the K types do it (Kawrakow,
//! 2023), each weight's error counted by how much it matters.

/// To the nearest integer, halves to even.
pub(super) fn nearest(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// The element furthest from zero, with its sign; the first of several.
pub(super) fn furthest(x: &[f32]) -> f32 {
    x.iter().copied().fold(0.0, |most: f32, x| if x.abs() > most.abs() { x } else { most })
}

/// A group whose largest magnitude is below this is stored as zeros.
const TINY: f32 = 1e-15;

/// The scale `d` of codes from `-levels` to `levels - 1` that makes `sum w (x - d code)^2` small. It is negative where that
/// lets the largest magnitude use the longer side.
pub(super) fn symmetric(x: &[f32], w: &[f32], levels: i32) -> f32 {
    let peak = furthest(x);
    if peak.abs() < TINY {
        return 0.0;
    }
    let (mut best, mut scale) = (0.0, 0.0);
    // The plain rounding first: of two that are as good, it stays.
    for step in [0].into_iter().chain(-9..0).chain(1..=9) {
        let inverse = -(levels as f32 + 0.1 * step as f32) / peak;
        let (mut xl, mut ll) = (0.0, 0.0);
        for (&x, &w) in x.iter().zip(w) {
            let code = nearest(inverse * x).clamp(-levels, levels - 1) as f32;
            xl += w * x * code;
            ll += w * code * code;
        }
        // What is left is `sum w x^2 - xl^2 / ll`.
        if ll > 0.0 && xl * xl > best * ll {
            scale = xl / ll;
            best = scale * xl;
        }
    }
    scale
}

/// As [`symmetric`] with the square of each element as its weight, for few levels: starts from the plain rounding and moves
/// single codes while that helps.
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

/// The scale and the minimum of codes from 0 to `most` that make the error of `scale * code - minimum` small, weighted by
/// `w`. Neither is negative.
pub(super) fn affine(x: &[f32], w: &[f32], most: i32, tries: Tries) -> (f32, f32) {
    let lowest = x.iter().copied().fold(0.0, f32::min);
    let high = x.iter().copied().fold(f32::MIN, f32::max);
    // NaN is no range either.
    if high.partial_cmp(&lowest) != Some(std::cmp::Ordering::Greater) {
        return (0.0, -lowest);
    }
    let sum_w: f32 = w.iter().sum();
    let sum_x: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
    let mut best = (f32::INFINITY, (high - lowest) / most as f32, lowest);
    // The first step is the plain rounding, as it is. Each of the others starts from the best minimum so far.
    for step in -1..tries.count {
        let low = best.2;
        let stretched = if step < 0 { most as f32 } else { tries.first + tries.step * step as f32 + most as f32 };
        let inverse = stretched / (high - low);
        let code = |x: f32| nearest(inverse * (x - low)).clamp(0, most) as f32;
        let (mut scale, mut minimum) = (best.1, best.2);
        if step >= 0 {
            let (mut l, mut ll, mut xl) = (0.0, 0.0, 0.0);
            for (&x, &w) in x.iter().zip(w) {
                let code = code(x);
                l += w * code;
                ll += w * code * code;
                xl += w * code * x;
            }
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
        let each = x.iter().zip(w).map(|(&x, &w)| {
            let off = scale * code(x) + minimum - x;
            w * if tries.magnitude { off.abs() } else { off * off }
        });
        let error: f32 = each.sum();
        if error < best.0 {
            best = (error, scale, minimum);
        }
    }
    (best.1, -best.2)
}
