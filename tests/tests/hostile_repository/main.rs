//! Repositories that lie, are cut, or make no sense: an error that names the cause, never a panic,
//! never memory for a lie.

mod folders;
mod lies;
mod notes;

use std::fmt::Write as _;

use godwit_tests::repository::{Files, safetensors, tiny_tensors};

use lies::{cases, gptq, packed};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[test]
fn every_lie_is_named() {
    let mut messages = String::new();
    let mut accepted = Vec::new();
    for (name, files) in cases() {
        match files.open() {
            Ok(_) => accepted.push(name),
            Err(error) => {
                let _ = writeln!(messages, "{name}\n    {error}");
            }
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    insta::assert_snapshot!("repository", messages);
}

#[test]
fn honest_repositories_open() {
    for files in [Files::tiny(), Files::sharded(), packed(gptq(), |_| {})] {
        let model = files.open().expect("a valid repository");
        assert_eq!(
            (model.config().width, model.checkpoint().tensors().len()),
            (64, 11)
        );
        assert_eq!(model.tokenizer().ends(), [31]);
    }
}

#[test]
fn weights_cut_at_every_byte() {
    let file = safetensors(&tiny_tensors());
    for len in 0..file.len() {
        // Every byte of the header, then some of the data: all are the same there.
        if len < 2000 || len % 997 == 0 {
            let cut = Files::tiny().with(WEIGHTS, &file[..len]);
            assert!(
                cut.open().is_err(),
                "a file of {len} of {} bytes opened",
                file.len()
            );
        }
    }
}

#[test]
fn any_flipped_byte_is_survived() {
    let file = safetensors(&tiny_tensors());
    let header = 8 + u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    for at in 0..header {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = file.clone();
            bad[at] ^= flip;
            // Whether it is still a model is not the question.
            let _ = Files::tiny().with(WEIGHTS, bad).open();
        }
    }
}
