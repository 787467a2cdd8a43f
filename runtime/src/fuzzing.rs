//! The entry points of the fuzz targets and of the tests that replay them: every loader.
//!
//! Nothing here can fail but by a panic, a hang, or memory in proportion to a lie.

use crate::chat::{ChatTemplate, Message};
use crate::error::Error;
use crate::io::{Bytes, Source};
use crate::kv_cache::SnapshotHeader;
use crate::kv_cache::snapshot::{OpenedSnapshot, Requirements};
use crate::model::Model;
use crate::quantize::Importance;
use crate::session::snapshot;
use crate::tokenizer::{Special, Tokenizer};

/// Bytes as a model file; where it opens, its tensors' first bytes and its tokenizer are used.
pub fn gguf(data: &[u8]) {
    let source = Bytes {
        name: "fuzz.gguf".into(),
        data: data.to_vec(),
    };
    if let Ok(model) = Model::from_sources(vec![Box::new(source)]) {
        use_model(&model);
    }
}

/// Bytes as a repository: files that each follow their name, a line end, their length in decimal
/// digits, and a line end.
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
        files.push(Box::new(Bytes {
            name,
            data: content.to_vec(),
        }));
        data = rest;
    }
    if let Ok(model) = Model::from_repository("fuzz", files) {
        use_model(&model);
    }
}

/// Bytes as an importance matrix, in the newer format or the older.
pub fn imatrix(data: &[u8]) {
    // Both outcomes are fine.
    let _ = Importance::read(Box::new(Bytes {
        name: "fuzz.imatrix".into(),
        data: data.to_vec(),
    }));
}

/// The fingerprint and the KV type of the snapshots and blocks that fit.
const FINGERPRINT: &str = "f";
const KV: &str = "f16";
/// Bytes of the keys and values of a position.
const POSITION: usize = 16;

/// Reads a snapshot as [`crate::Session::resume`] does, without a GPU: header, tokens, keys and
/// values, and hash.
fn read_snapshot(
    mut input: &[u8],
    held: &[u32],
    expected: Option<&[u32]>,
) -> Result<(SnapshotHeader, Vec<u32>), Error> {
    let file = OpenedSnapshot::read(&mut input, KV)?;
    let wanted = Requirements {
        fingerprint: FINGERPRINT,
        vocab: 1 << 10,
        held,
        expected,
    };
    let mut reading = snapshot::begin(file, &wanted, 1 << 16)?;
    let mut bytes = Vec::new();
    for run in reading.runs() {
        bytes.resize(run.len().next_multiple_of(32) * POSITION, 0);
        reading.take(&mut bytes)?;
    }
    Ok(reading.end()?)
}

/// The same with the right hash at the end: what only a hash keeps away is read too.
fn sealed(data: &[u8]) -> Vec<u8> {
    [data, blake3::hash(data).as_bytes()].concat()
}

/// Bytes as a context that `--save` wrote.
///
/// # Panics
/// A context is read whose header and tokens disagree.
pub fn snapshot(data: &[u8]) {
    for bytes in [data, &sealed(data)] {
        let held: Vec<u32> = (0..64).collect();
        for held in [&[][..], &held] {
            if let Ok((header, ids)) = read_snapshot(bytes, held, None) {
                assert_eq!(ids.len(), (header.first + header.count) as usize);
                assert!(header.first as usize <= held.len() && ids.iter().all(|&id| id < 1 << 10));
            }
        }
    }
}

/// Bytes as a block of a prompt, whose tokens are known.
///
/// # Panics
/// A block of other tokens is read, or a good one counts as damaged.
pub fn prefix_block(data: &[u8]) {
    let prompt: Vec<u32> = (0..96).collect();
    for bytes in [data, &sealed(data)] {
        match read_snapshot(bytes, &prompt[..64], Some(&prompt)) {
            Ok((_, ids)) => assert!(prompt.starts_with(&ids)),
            Err(Error::Snapshot(cause)) if cause.proves_damage() => {
                assert!(
                    read_snapshot(bytes, &[], None).is_err(),
                    "a good block would be deleted: {cause}"
                );
            }
            Err(_) => {}
        }
    }
}

/// Bytes as quantised weights that are kept on disk.
///
/// # Panics
/// Other tensors than those of the model are read.
#[cfg(not(target_arch = "wasm32"))]
pub fn cached_weights(data: &[u8]) {
    use std::path::Path;

    use godwit_shaders::WeightFormat;

    use crate::gguf::GgufWriter;
    use crate::quantize::{seal, weights_in};
    // The tensors that are wanted: a norm, and a matrix of two rows.
    let mut wanted = GgufWriter::default();
    wanted.tensor("output_norm.weight", WeightFormat::F32, &[32]);
    wanted.tensor("output.weight", WeightFormat::Q8_0, &[32, 2]);
    for bytes in [data.to_vec(), [data, &seal(data)].concat()] {
        let file = Bytes {
            name: "fuzz.gguf".into(),
            data: bytes,
        };
        if let Ok(weights) = weights_in(Path::new("fuzz.gguf"), Box::new(file), wanted.tensors()) {
            for tensor in wanted.tensors() {
                let own = weights
                    .tensor(&tensor.name)
                    .expect("a tensor that was compared");
                assert_eq!(
                    weights
                        .data(own, 0..own.bytes)
                        .map(|data| data.len() as u64),
                    Ok(tensor.bytes)
                );
            }
        }
    }
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
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(chat) = ChatTemplate::new(source, "<s>", "</s>") {
        let _ = chat.render(&conversation(), true);
    }
}

fn encode(tokenizer: &Tokenizer) {
    // Runs are what patterns may read on and on in.
    let runs = ["A", " ", "\u{e9}"]
        .map(|letter| letter.repeat(512))
        .concat();
    for special in [Special::Parse, Special::Text] {
        for text in [
            "Hello, <|im_end|> \u{1F426}\n\n  l'\u{e9}t\u{e9} 123",
            &runs,
        ] {
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
