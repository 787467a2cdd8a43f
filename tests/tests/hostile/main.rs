//! Model files that lie, are cut, or make no sense: an error that names the cause, never a panic,
//! never memory for a lie.

mod cases;
mod tensors;
mod unused;

use std::fmt::Write as _;

use godwit::low_level::checkpoint::Checkpoint;
use godwit::low_level::gguf::Gguf;
use godwit::low_level::io::{Bytes, Source};
use godwit::sampling::Parameter;
use godwit::{Error, Model, RopeOverride, RopeStretch, Sampling};
use godwit_tests::gguf::{Builder, Field, array, f32, i32s, string, strings, u32};

use cases::{cases, latin1, nested};

fn open(bytes: Vec<u8>) -> Result<Model, Error> {
    Model::from_sources(vec![source("model.gguf", bytes)])
}

fn source(name: &str, data: Vec<u8>) -> Box<dyn Source> {
    Box::new(Bytes {
        name: name.into(),
        data,
    })
}

#[test]
fn every_lie_is_named() {
    let mut messages = String::new();
    let mut accepted = Vec::new();
    for (name, bytes) in cases() {
        match open(bytes) {
            Ok(_) => accepted.push(name),
            Err(error) => {
                let _ = writeln!(messages, "{name}\n    {error}");
            }
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    insta::assert_snapshot!("messages", messages);
}

/// Parts that the tokenizer can do without are left out, with a note.
#[test]
fn odd_tokens_are_said() {
    let notes = |key: &str, value: Field| {
        let model = open(Builder::llama().with(key, value).build()).expect(key);
        model.tokenizer().notes().join("\n")
    };
    let tokens = |texts: &[&str]| notes("tokenizer.ggml.tokens", strings(texts));
    assert!(tokens(&["a", "b", "a"]).contains("0 and 2 (\"a\")"));
    let damaged = Builder::llama()
        .with(
            "tokenizer.ggml.tokens",
            array(8, 2, [string("a").1, latin1().1].concat()),
        )
        .with("tokenizer.ggml.merges", strings(&["a b"]));
    let damaged = open(damaged.build())
        .expect("it opens")
        .tokenizer()
        .notes()
        .join("\n");
    let said =
        "the text of 1 tokens, from 1, is not valid UTF-8; 1 merges that need them are left out";
    assert!(damaged.contains(said), "{damaged}");
    let many: Vec<String> = (0..34).map(|i| format!("t{i}")).collect();
    let beyond = notes("tokenizer.ggml.tokens", strings(&many));
    assert!(
        beyond.contains("2 of 34 tokens are beyond the embedding's 32 rows, such as \"t32\" (32)"),
        "{beyond}"
    );
    assert!(
        notes("tokenizer.ggml.bos_token_id", u32(32)).contains("the begin-of-text token is 32")
    );
    assert!(
        notes(
            "tokenizer.ggml.eos_token_id",
            Field(11, (-1_i64).to_le_bytes().to_vec())
        )
        .contains("an end token is")
    );
    assert!(notes("tokenizer.ggml.token_type", i32s(&[0; 32])).contains("32 tokens have type 0"));
    // Keys that a byte-level vocabulary does not need may have any type.
    assert_eq!(notes("tokenizer.ggml.scores", i32s(&[0; 32])), "");
    assert_eq!(notes("tokenizer.ggml.add_space_prefix", u32(0)), "");
}

#[test]
fn the_honest_file_opens() {
    let model = open(Builder::llama().build()).expect("a valid file");
    assert_eq!(model.config().width, 64);
}

#[test]
fn cut_at_every_byte() {
    let bytes = Builder::llama().build();
    for len in 0..bytes.len() {
        // The last tensor's padding may be cut; nothing else.
        let needed = bytes.len();
        assert!(
            open(bytes[..len].to_vec()).is_err() || len + 31 >= needed,
            "a file of {len} of {needed} bytes opened"
        );
    }
}

#[test]
fn any_flipped_byte_is_survived() {
    let bytes = Builder::llama().build();
    let header = bytes.len() - Builder::llama().data.len();
    for at in 0..header {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            // Whether it is still a model is not the question.
            let _ = open(bad);
        }
    }
}
