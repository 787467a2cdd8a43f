//! What all fuzz targets share: a run must stay within its limits of memory and time.

use peak_alloc::PeakAlloc;

#[path = "../../src/limits.rs"]
mod limits;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Runs a target on an input.
///
/// # Panics
/// It panics, or uses up more than its limits.
pub fn check(target: &str, data: &[u8], run: fn(&[u8])) {
    limits::check(&PEAK, target, data, run);
}
