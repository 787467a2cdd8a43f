//! How close two buffers are.

use godwit_shaders::{Contents, Scene};

/// A buffer's words as numbers.
pub fn numbers(scene: &Scene, words: &[u32], contents: Contents) -> Vec<f64> {
    match contents {
        Contents::Floats => words.iter().map(|&w| f32::from_bits(w).into()).collect(),
        Contents::Integers => words.iter().map(|&w| w.into()).collect(),
        Contents::Packed(unpack) => unpack(scene, words),
    }
}

/// Checks `found` against `expected` by the normalised mean square error `sum (a - b)^2 / sum b^2`, which may be `most`, and
/// that no single error is an outlier: more than ten times the root mean square error that `most` allows.
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
    let bound = 10.0 * (most * squares / expected.len() as f64).sqrt();
    if nmse <= most && largest <= bound {
        return Ok(());
    }
    let at = errors().position(|e| e == largest).unwrap_or(0);
    Err(format!(
        "error {nmse:.2e} (allowed {most:.0e}); largest {largest:.3e} (allowed {bound:.1e}) at [{at}]: {} for {}",
        found[at], expected[at]
    ))
}
