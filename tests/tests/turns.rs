//! Two turns of a chat, greedy, as `tests/golden/turns.json` has them. The same file is what a
//! browser must say (`web/tests/api.test.mjs`).

use std::time::Duration;

use godwit::low_level::Tuning;
use godwit::{Engine, EngineOptions, Gpu, GpuOptions, Message, Sampling};
use godwit_tests::model::{engine, session, smollm2};
use godwit_tests::turns::{Turn, turns};
use pollster::block_on;

/// How far the two best logits must be apart at each step: then every driver chooses the same.
const GAP: f32 = 0.05;

#[test]
fn two_turns_agree() {
    let model = smollm2();
    let chat = model.chat().expect("a template");
    let mut session = session(&engine(&model, &EngineOptions::default(), false));
    let mut messages = Vec::new();
    for Turn { user, ids, text } in turns() {
        messages.push(Message::user(user));
        let prompt = chat
            .encode(model.tokenizer(), &messages, true)
            .expect("ids");
        let kept = session.keep_prefix(&prompt);
        block_on(session.prefill(&prompt[kept..], &mut godwit::unwatched)).expect("it fits");
        let (mut found, mut least) = (Vec::new(), f32::MAX);
        for _ in &ids {
            let mut logits = block_on(session.logits()).expect("logits");
            let gap = |logits: &[f32]| logits[0] - logits[1];
            logits.sort_by(|a, b| b.total_cmp(a));
            least = least.min(gap(&logits));
            found.push(block_on(session.next(&Sampling::greedy())).expect("a token"));
        }
        assert_eq!(found, ids, "{}", model.tokenizer().decode(&found));
        assert_eq!(model.tokenizer().decode(&found), text);
        assert!(
            least > GAP,
            "the two best logits are {least} apart: take a prompt that is clearer"
        );
        messages.push(Message::assistant(text));
    }
}

/// The same turns with tokens in flight where each turn begins, the same sampling in both, and no
/// call in between that makes the session forget them.
#[test]
fn two_turns_agree_with_steps_in_flight() {
    let model = smollm2();
    let chat = model.chat().expect("a template");
    for steps_in_flight in [1, 8] {
        let options = GpuOptions::default()
            .adapter(std::env::var("GODWIT_ADAPTER").ok())
            .tuning(Some(Tuning {
                prefill_chunk: 64,
                workgroups: 1,
                steps_in_flight,
                gemv: None,
                few_rows: None,
                few_rows_up_to: 8,
                gemm: None,
            }))
            // A slow driver is to have as many steps in flight as a fast one.
            .in_flight_budget(Some(Duration::from_secs(60)));
        let gpu = block_on(Gpu::open(&options)).expect("a GPU");
        let engine = block_on(Engine::load(
            gpu,
            &model,
            &EngineOptions::default(),
            &mut godwit::unwatched,
        ));
        let mut session = session(&engine.expect("the model loads"));
        let mut messages = Vec::new();
        for Turn { user, ids, text } in turns() {
            messages.push(Message::user(user));
            let prompt = chat
                .encode(model.tokenizer(), &messages, true)
                .expect("ids");
            let kept = session.keep_prefix(&prompt);
            block_on(session.prefill(&prompt[kept..], &mut godwit::unwatched)).expect("it fits");
            let next = || block_on(session.next(&Sampling::greedy())).expect("a token");
            let found: Vec<u32> = std::iter::repeat_with(next).take(ids.len()).collect();
            let said = model.tokenizer().decode(&found);
            assert_eq!(found, ids, "{steps_in_flight} steps in flight: {said:?}");
            assert_eq!(session.tokens_in_flight() > 0, steps_in_flight > 1);
            messages.push(Message::assistant(text));
        }
    }
}
