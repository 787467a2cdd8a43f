//! The corpus that fuzzing starts from (`tests/fuzz`).

use std::path::Path;

/// Runs a fuzz target on every input of its corpus, once.
///
/// # Panics
/// There is no input, or the target does not survive one.
pub fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let inputs: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").map(|e| e.expect("an entry").path()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        run(&std::fs::read(&input).expect("a readable input"));
    }
}
