//! What the fuzz targets run, and the ordinary tests replay: hostile bytes through every loader.
//!
//! Nothing here can fail but by a panic, a hang, or memory in proportion to a lie.

use crate::chat::{ChatTemplate, Message};
use crate::format::Bytes;
use crate::model::Model;
use crate::tokenizer::{Special, Tokenizer};

/// Bytes as a model file; where it opens, its tensors' first bytes and its tokenizer are used.
pub fn gguf(data: &[u8]) {
    let source = Bytes { name: "fuzz.gguf".into(), data: data.to_vec() };
    let Ok(model) = Model::from_sources(vec![Box::new(source)]) else { return };
    for tensor in model.gguf().tensors() {
        // Both outcomes are fine.
        let _ = model.gguf().data(tensor, 0..tensor.bytes.min(64));
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
    for special in [Special::Parse, Special::Text] {
        if let Ok(ids) = tokenizer.encode("Hello, <|im_end|> \u{1F426}\n\n  l'\u{e9}t\u{e9} 123", special) {
            tokenizer.decode(&ids);
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
