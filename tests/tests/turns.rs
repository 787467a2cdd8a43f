//! Two turns of a chat, greedy, as `tests/golden/turns.json` has them. The same file is what a browser must say
//! (`web/tests/api.test.mjs`).

use godwit::{EngineOptions, Message, Sampling};
use godwit_tests::model::{engine, fixture, go, session, smollm2};
use pollster::block_on;
use serde::Deserialize;

#[derive(Deserialize)]
struct Turns {
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    user: String,
    ids: Vec<u32>,
    text: String,
}

/// How far the two best logits must be apart at each step: then every driver chooses the same.
const GAP: f32 = 0.05;

#[test]
fn two_turns_agree() {
    let file = std::fs::read(fixture("tests/golden/turns.json")).expect("the file is read");
    let Turns { turns } = serde_json::from_slice(&file).expect("JSON");
    assert!(turns.len() >= 2);
    let model = smollm2();
    let chat = model.chat().expect("a template");
    let mut session = session(&engine(&model, &EngineOptions::default(), false));
    let mut messages = Vec::new();
    for Turn { user, ids, text } in turns {
        messages.push(Message::user(user));
        let prompt = chat.encode(model.tokenizer(), &messages, true).expect("ids");
        let kept = session.keep_prefix(&prompt);
        block_on(session.prefill(&prompt[kept..], &mut go)).expect("it fits");
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
        assert!(least > GAP, "the two best logits are {least} apart: take a prompt that is clearer");
        messages.push(Message::assistant(text));
    }
}
