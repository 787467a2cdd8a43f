//! Replays the fuzz corpus: every input once, as the fuzz targets do (`tests/fuzz`).

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let inputs: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").map(|e| e.expect("an entry").path()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        run(&std::fs::read(&input).expect("a readable input"));
    }
}

#[test]
fn gguf() {
    replay("gguf", godwit::fuzzing::gguf);
}

#[test]
fn repository() {
    replay("repository", godwit::fuzzing::repository);
}

#[test]
fn imatrix() {
    replay("imatrix", godwit::fuzzing::imatrix);
}

#[test]
fn tokenizer_json() {
    replay("tokenizer_json", godwit::fuzzing::tokenizer_json);
}

#[test]
fn chat_template() {
    replay("chat_template", godwit::fuzzing::chat_template);
}
