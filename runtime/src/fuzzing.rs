//! What the fuzz targets run, and the ordinary tests replay: hostile bytes through every loader.
//!
//! Nothing here can fail but by a panic, a hang, or memory in proportion to a lie.

use crate::chat::{ChatTemplate, Message};
use crate::format::{Bytes, Source};
use crate::model::Model;
use crate::quantize::Importance;
use crate::tokenizer::{Special, Tokenizer};

/// Bytes as a model file; where it opens, its tensors' first bytes and its tokenizer are used.
pub fn gguf(data: &[u8]) {
    let source = Bytes { name: "fuzz.gguf".into(), data: data.to_vec() };
    if let Ok(model) = Model::from_sources(vec![Box::new(source)]) {
        use_model(&model);
    }
}

/// Bytes as a repository: files that each follow their name, a line end, their length in decimal digits, and a line end.
pub fn repository(mut data: &[u8]) {
    fn line<'a>(data: &mut &'a [u8]) -> Option<&'a str> {
        let end = data.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = data.split_at(end);
        *data = &rest[1..];
        std::str::from_utf8(line).ok()
    }
    let mut files: Vec<Box<dyn Source>> = Vec::new();
    while let (Some(name), Some(len)) = (line(&mut data).map(str::to_owned), line(&mut data)) {
        let len = len.parse().unwrap_or(usize::MAX).min(data.len());
        let (content, rest) = data.split_at(len);
        files.push(Box::new(Bytes { name, data: content.to_vec() }));
        data = rest;
    }
    if let Ok(model) = Model::from_repository("fuzz", files) {
        use_model(&model);
    }
}

/// Bytes as an importance matrix, in the newer format or the older.
pub fn imatrix(data: &[u8]) {
    // Both outcomes are fine.
    let _ = Importance::read(Box::new(Bytes { name: "fuzz.imatrix".into(), data: data.to_vec() }));
}

fn use_model(model: &Model) {
    let checkpoint = model.checkpoint();
    for tensor in checkpoint.tensors() {
        // Both outcomes are fine.
        let _ = checkpoint.data(tensor, 0..tensor.bytes.min(64));
        let _ = checkpoint.data(tensor, tensor.bytes.saturating_sub(7)..tensor.bytes);
    }
    encode(model.tokenizer());
    if let Ok(chat) = model.chat() {
        let _ = chat.encode(model.tokenizer(), &conversation(), true);
    }
}

/// Bytes as a `tokenizer.json`.
pub fn tokenizer_json(data: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(data, None) {
        encode(&tokenizer);
    }
}

/// Bytes as a chat template.
pub fn chat_template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    if let Ok(chat) = ChatTemplate::new(source, "<s>", "</s>") {
        let _ = chat.render(&conversation(), true);
    }
}

fn encode(tokenizer: &Tokenizer) {
    // Runs are what patterns may read on and on in.
    let runs = ["A", " ", "\u{e9}"].map(|letter| letter.repeat(512)).concat();
    for special in [Special::Parse, Special::Text] {
        for text in ["Hello, <|im_end|> \u{1F426}\n\n  l'\u{e9}t\u{e9} 123", &runs] {
            if let Ok(ids) = tokenizer.encode(text, special) {
                tokenizer.decode(&ids);
            }
        }
    }
}

fn conversation() -> Vec<Message> {
    vec![
        Message::system("Be brief."),
        Message::user("Hi <|eot_id|>"),
        Message::assistant("Hello."),
        Message::user("Bye"),
    ]
}
