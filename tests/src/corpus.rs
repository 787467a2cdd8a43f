//! The corpus that fuzzing starts from (`tests/fuzz`).

use std::path::Path;

use peak_alloc::PeakAlloc;

use crate::limits::check;

/// Runs a fuzz target on every input of its corpus, once.
///
/// # Panics
/// There is no input, or the target does not survive one.
pub fn replay(target: &str, run: fn(&[u8])) {
    inputs(target).iter().for_each(|input| run(input));
}

/// The same within the target's limits of memory and time. `peak` must be the global allocator.
///
/// # Panics
/// There is no input, or the target does not survive one within its limits.
pub fn replay_within(peak: &PeakAlloc, target: &str, run: fn(&[u8])) {
    inputs(target)
        .iter()
        .for_each(|input| check(peak, target, input, run));
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let paths = std::fs::read_dir(&folder)
        .expect("a corpus")
        .map(|e| e.expect("an entry").path());
    let inputs: Vec<_> = paths
        .map(|path| std::fs::read(path).expect("a readable input"))
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}
