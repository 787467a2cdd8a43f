//! Associative recall by a constructed model (see `godwit_tests::retrieval`), in every type of KV
//! cache, over segments, splits and spans of positions. `cargo run --release -p godwit-tests
//! --example retrieval` does it at any length.

use godwit::{ContextSize, EngineOptions};
use godwit_tests::model::{engine, session};
use godwit_tests::retrieval::{KEYS, ask, haystack, margin, model, value_of};
use pollster::block_on;

#[test]
fn the_previous_token_stands_out_everywhere() {
    for distance in (0..1 << 20).filter(|&distance| distance != 1) {
        assert!(margin(distance) > 0.4, "{distance}: {}", margin(distance));
    }
}

#[test]
fn needles_are_recalled() {
    let len = 3000;
    let model = model(1 << 20);
    for kv in ["f32", "f16", "q8_0", "q4_0"] {
        let kv = kv.parse().expect("a type");
        let options = EngineOptions::default()
            .context(ContextSize::Tokens(len + 8))
            .segment_tokens(Some(512))
            .kv(kv);
        let mut session = session(&engine(&model, &options, true));
        block_on(session.prefill(&haystack(len), &mut godwit::unwatched)).expect("room");
        for key in 0..KEYS {
            assert_eq!(
                ask(&mut session, len as usize, key),
                value_of(key),
                "key {key}, {kv:?}"
            );
        }
    }
}
