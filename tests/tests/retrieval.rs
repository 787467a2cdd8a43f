//! Associative recall by a constructed model (see `godwit_tests::retrieval`), in every type of KV cache, over segments, splits
//! and spans of positions. `cargo run --release -p godwit-tests --example retrieval` does it at any length.

use std::ops::ControlFlow;

use godwit::format::Bytes;
use godwit::{ContextSize, EngineOptions, Model};
use godwit_tests::model::engine;
use godwit_tests::retrieval::{KEYS, gguf, haystack, margin, value_of};
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
    let file = Bytes { name: "retrieval".into(), data: gguf(1 << 20) };
    let model = Model::from_sources(vec![Box::new(file)]).expect("a model");
    for kv in ["f32", "f16", "q8_0", "q4_0"] {
        let kv = kv.parse().expect("a type");
        let options = EngineOptions {
            context: ContextSize::Tokens(len + 8),
            segment_tokens: Some(512),
            kv,
            ..Default::default()
        };
        let mut session = block_on(engine(&model, &options, true).session()).expect("a session");
        let mut go = |_, _| ControlFlow::Continue(());
        block_on(session.prefill(&haystack(len), &mut go)).expect("room");
        for key in 0..KEYS {
            session.truncate(len as usize);
            block_on(session.prefill(&[key], &mut go)).expect("room");
            let logits = block_on(session.logits()).expect("logits");
            let best = (0..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id);
            assert_eq!(best, Some(value_of(key)), "key {key}, {kv:?}");
        }
    }
}
