//! How close two buffers are.

use godwit_shaders::{Contents, DispatchFixture};

/// A buffer's words as numbers.
pub fn numbers(fixture: &DispatchFixture, words: &[u32], contents: Contents) -> Vec<f64> {
    match contents {
        Contents::Floats => words.iter().map(|&w| f32::from_bits(w).into()).collect(),
        Contents::Integers => words.iter().map(|&w| w.into()).collect(),
        Contents::Packed(unpack) => unpack(fixture, words),
    }
}

/// Checks `found` against `expected` by the normalised mean square error `sum (a - b)^2 / sum b^2`,
/// which may be `most`, and that no single error is an outlier: more than ten times what `most`
/// allows of the root mean square, or of the number itself where that is larger, for rounding
/// errors grow with what is rounded.
///
/// # Errors
/// Says by how much, and where first.
pub fn compare(found: &[f64], expected: &[f64], most: f64) -> Result<(), String> {
    if let Some(at) = found.iter().position(|f| !f.is_finite()) {
        return Err(format!("[{at}] is {}", found[at]));
    }
    let squares: f64 = expected.iter().map(|e| e * e).sum();
    let errors = || found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    let nmse = errors().map(|e| e * e).sum::<f64>() / squares.max(f64::MIN_POSITIVE);
    let largest = errors().fold(0.0, f64::max);
    let usual = (squares / expected.len() as f64).sqrt();
    let bound = |expected: f64| 10.0 * most.sqrt() * expected.abs().max(usual);
    let outlier = errors()
        .zip(expected)
        .position(|(error, &expected)| error > bound(expected));
    if nmse <= most && outlier.is_none() {
        return Ok(());
    }
    let at = outlier
        .or_else(|| errors().position(|e| e == largest))
        .unwrap_or(0);
    Err(format!(
        "error {nmse:.2e} (allowed {most:.0e}), {largest:.3e} at most; at [{at}]: {} for {} \
         (allowed {:.1e})",
        found[at],
        expected[at],
        bound(expected[at])
    ))
}
