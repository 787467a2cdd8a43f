//! Models, files, servers and arguments that are hostile in every string, through every command:
//! nothing that a terminal obeys comes through.
#![cfg(unix)]

mod files;
mod names;
mod shown;
mod terminal;

use std::path::Path;
use std::process::Stdio;

use godwit_tests::gguf::{self, Builder, string, strings, u32};
use godwit_tests::hub_server::{Answer, Hub};
use godwit_tests::repository;
use serde_json::{Value, json};

use terminal::{Allowed, EVIL, command, harmless, harmless_in_terminal, in_terminal, is_harmless};

const TEMPLATE: &str = "{% for m in messages %}{{ m.content }}{% endfor %}";

/// The last tokens of the model, in the alphabet of byte-level tokenizers: escape sequences in one
/// piece and split, even within a character, and what turns text.
const PIECES: [&str; 8] = ["ě", "]0;titleć", "Â", "Ľ2J", "č", "Ċ", "âĢ®", "č\u{10a}ĈĀ"];

/// A model whose tokens are hostile, and whose weights are zero: all its tokens are as likely.
fn model() -> Builder {
    let letters = (0..24_u8).map(|i| char::from(b'a' + i).to_string());
    let tokens: Vec<String> = letters.chain(PIECES.map(str::to_owned)).collect();
    Builder::llama()
        .with("tokenizer.ggml.tokens", strings(&tokens))
        .with("tokenizer.chat_template", string(TEMPLATE))
        .with("general.name", string(EVIL))
        .with(&format!("general.{EVIL}"), string(EVIL))
        .with(&format!("llama.{EVIL}"), strings(&[EVIL, EVIL]))
}

/// Options that choose among the hostile tokens.
fn hostile_tokens() -> Vec<String> {
    let letters = (0..24).map(|id| format!("--logit-bias={id}=-inf"));
    letters
        .chain(["-n=48", "--temp=1", "--seed=5", "--no-cache"].map(str::to_owned))
        .collect()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a path").to_owned()
}
