//! Token ids and rendered chats against `transformers`' (`tests/golden/tokenizer.py`), for Llama 3
//! and SmolLM2; ids of small tokenizers of every kind against `tokenizers`'
//! (`tests/golden/tokenizer_kinds.py`); and all of them again after quantising.

mod control;
mod golden;
mod requantised;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use godwit::Bytes;
use godwit::quantize::{Mix, write_gguf};
use godwit::tokenizer::{GgufVocab, Special, Tokenizer};
use godwit::{ChatTemplate, Message, Model};
use godwit_tests::model::{fixture, smollm2};
use godwit_tests::repository::{Files, smollm_tokenizer};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use golden::{Kinds, golden, llama3};
use requantised::{TEMPLATE, assert_same, requantised};

/// Tokens without a row in the embedding, and rows without a token.
#[test]
fn tokens_and_rows_need_not_be_equally_many() {
    let all = Kinds::read();
    let mut file = all.file(&all.kinds["gpt2"]);
    let marks = file["added_tokens"].as_array_mut().expect("a list");
    let rows = marks
        .iter()
        .filter_map(|token| token["id"].as_u64())
        .max()
        .expect("a token") as u32
        + 1;
    marks.push(json!({"id": rows, "content": "[PAD]", "special": true}));
    marks.push(json!({"id": rows + 1, "content": "[USER]", "special": false}));
    let open = |rows| {
        let files = Files::with_tokenizer(&file, rows).set("eos_token_id", json!([0, rows]));
        files
            .with("chat_template.jinja", TEMPLATE)
            .open()
            .expect("it opens")
    };
    let model = open(rows);
    let tokenizer = model.tokenizer();
    assert!(
        tokenizer.notes().join("\n").contains("2 of"),
        "{:?}",
        tokenizer.notes()
    );
    assert_eq!(tokenizer.ends(), [0]);
    assert!(tokenizer.encode("[PAD] hello", Special::Text).is_ok());
    for (text, special) in [("[PAD]", Special::Parse), ("see [USER]", Special::Text)] {
        let error = tokenizer
            .encode(text, special)
            .expect_err("no row")
            .to_string();
        assert!(error.contains("is beyond the embedding's"), "{error}");
    }
    let written = requantised(&model);
    assert_eq!(
        written.tokenizer().vocab_size(),
        rows,
        "llama.cpp wants one token for each row"
    );
    assert_same("beyond", &model, &written, "plain text\n");
    // Rows without a token: what the model should never choose is no text.
    let model = open(rows + 100);
    let tokenizer = model.tokenizer();
    assert!(!tokenizer.notes().join("\n").contains("beyond"));
    assert_eq!(
        (tokenizer.decode(&[rows + 50]), tokenizer.token(rows + 50)),
        (String::new(), None)
    );
    assert!(!tokenizer.is_end(rows + 50) && !tokenizer.is_control(rows + 50));
    let written = requantised(&model);
    assert_eq!(
        (
            written.tokenizer().vocab_size(),
            written.tokenizer().decode(&[rows + 50])
        ),
        (rows + 100, String::new())
    );
    assert_same("rows", &model, &written, "[PAD50] text [USER]");
}
