//! Replays the fuzz corpus: every input once, within the limits of memory and time that the fuzz
//! targets have (`tests/fuzz`).

use godwit_tests::corpus::replay_within;
use peak_alloc::PeakAlloc;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

fn replay(target: &str, run: fn(&[u8])) {
    replay_within(&PEAK, target, run);
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
