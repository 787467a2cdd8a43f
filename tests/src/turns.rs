//! The chat whose replies Rust, C, Python and browsers must agree on: `tests/golden/turns.json`.

use serde::Deserialize;

use crate::model::fixture;

#[derive(Deserialize)]
struct Turns {
    turns: Vec<Turn>,
}

/// A question, and the greedy reply to it.
#[derive(Deserialize)]
pub struct Turn {
    /// The question.
    pub user: String,
    /// The tokens of the reply.
    pub ids: Vec<u32>,
    /// Its text.
    pub text: String,
}

/// The turns, two at least.
pub fn turns() -> Vec<Turn> {
    let file = std::fs::read(fixture("tests/golden/turns.json")).expect("the file is read");
    let Turns { turns } = serde_json::from_slice(&file).expect("JSON");
    assert!(turns.len() >= 2);
    turns
}
