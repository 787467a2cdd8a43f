//! Replays the fuzz corpus: every input once, as the fuzz targets do (`tests/fuzz`).

use godwit_tests::corpus::replay;

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

#[test]
fn snapshot() {
    replay("snapshot", godwit::fuzzing::snapshot);
}

#[test]
fn prefix_block() {
    replay("prefix_block", godwit::fuzzing::prefix_block);
}

#[test]
fn cached_weights() {
    replay("cached_weights", godwit::fuzzing::cached_weights);
}
