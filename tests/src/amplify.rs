//! Inputs that ask for far more memory or time than their length: for each loader its worst shapes,
//! at any length.
//!
//! The fuzz corpus has each of them short, `tests/tests/memory.rs` long.

use crate::gguf::{Builder, Field, array, i32s, string, strings};
use crate::repository::{Files, safetensors, tiny_tensors, with_header};

/// A shape of input.
pub struct Shape {
    /// Its kind, as a file name.
    pub name: &'static str,
    /// The fuzz target that takes it.
    pub target: &'static str,
    /// Builds one of about so many bytes.
    pub build: fn(usize) -> Vec<u8>,
}

/// The worst shapes of all loaders.
pub const SHAPES: [Shape; 31] = [
    shape("scores_of_nested_tokens", "gguf", |bytes| {
        scores(&nested(bytes, 1))
    }),
    shape("scores_of_nested_characters", "gguf", |bytes| {
        scores(&nested(bytes / 2, 2))
    }),
    shape("scores_of_one_text", "gguf", |bytes| {
        scores(&vec!["t".to_owned(); bytes / 17])
    }),
    shape("empty_strings", "gguf", |bytes| {
        with_key(array(8, bytes as u64 / 8, vec![0; bytes / 8 * 8]))
    }),
    shape("strings_that_are_no_text", "gguf", |bytes| {
        let texts = [1, 0, 0, 0, 0, 0, 0, 0, 0xFF].repeat(bytes / 9);
        with_key(array(8, bytes as u64 / 9, texts))
    }),
    shape("nested_arrays", "gguf", |bytes| {
        let empty = [&9_u32.to_le_bytes()[..], &0_u64.to_le_bytes()].concat();
        with_key(array(9, bytes as u64 / 12, empty.repeat(bytes / 12)))
    }),
    shape("many_keys", "gguf", |bytes| {
        let keys = (0..bytes / 18).map(|at| (format!("{at:05x}"), Field(0, vec![0])));
        Builder::llama().change(|b| b.metadata.extend(keys)).build()
    }),
    shape("counts_in_bytes", "gguf", |bytes| {
        let counts = array(0, bytes as u64, vec![1; bytes]);
        Builder::llama()
            .with("llama.attention.head_count", counts.clone())
            .with("llama.logit_scale", counts)
            .build()
    }),
    shape("end_tokens_in_bytes", "gguf", |bytes| {
        let ends = (0..bytes).map(|at| 100 + (at % 100) as u8).collect();
        Builder::llama()
            .with(
                "tokenizer.godwit.end_token_ids",
                array(0, bytes as u64, ends),
            )
            .build()
    }),
    shape("many_tensors", "gguf", |bytes| {
        let count = bytes / 64;
        Builder::llama()
            .change(|b| (0..count).for_each(|at| b.tensor(&format!("t{at}"), &[1])))
            .build()
    }),
    shape("normalizer_of_lists", "tokenizer_json", |bytes| {
        part("normalizer", "[],", bytes)
    }),
    shape("decoder_of_numbers", "tokenizer_json", |bytes| {
        part("decoder", "1,", bytes)
    }),
    shape("post_processor_of_objects", "tokenizer_json", |bytes| {
        part("post_processor", "{\"\":0},", bytes)
    }),
    shape("added_token_with_a_list", "tokenizer_json", |bytes| {
        let added = format!(
            r#"[{{"id":0,"content":"a","x":[{}0]}}]"#,
            "1,".repeat(bytes / 2)
        );
        tokenizer(r#"{"a":0}"#, "[]", &format!(r#""added_tokens":{added},"#))
    }),
    shape("many_added_tokens", "tokenizer_json", |bytes| {
        let added: Vec<String> = (0..bytes / 26)
            .map(|at| format!(r#"{{"id":{at},"content":"{at:x}_"}}"#))
            .collect();
        tokenizer(
            "{}",
            "[]",
            &format!(r#""added_tokens":[{}],"#, added.join(",")),
        )
    }),
    shape("merge_of_lists", "tokenizer_json", |bytes| {
        tokenizer(
            r#"{"a":0}"#,
            &format!("[[{}1]]", "[],".repeat(bytes / 3)),
            "",
        )
    }),
    shape("many_merges", "tokenizer_json", |bytes| {
        let merges = vec![r#""a a""#; bytes / 6].join(",");
        tokenizer(r#"{"a":0,"aa":1}"#, &format!("[{merges}]"), "")
    }),
    shape("many_tokens", "tokenizer_json", |bytes| {
        let vocab: Vec<String> = (0..bytes / 13)
            .map(|at| format!(r#""{at:x}":{at}"#))
            .collect();
        tokenizer(&format!("{{{}}}", vocab.join(",")), "[]", "")
    }),
    shape("normalizer_that_doubles", "tokenizer_json", |bytes| {
        let double = r#"{"type":"Replace","pattern":{"String":"l"},"content":"ll"},"#;
        let steps = double.repeat((bytes / double.len()).clamp(1, 40));
        tokenizer(
            r#"{"a":0}"#,
            "[]",
            &format!(
                r#""normalizer":{{"type":"Sequence","normalizers":[{}]}},"#,
                &steps[..steps.len() - 1]
            ),
        )
    }),
    shape("normalizer_that_prepends", "tokenizer_json", |bytes| {
        let step = format!(r#"{{"type":"Prepend","prepend":"{}"}}"#, "x".repeat(bytes));
        tokenizer(r#"{"a":0}"#, "[]", &format!(r#""normalizer":{step},"#))
    }),
    shape("unknown_token_is_long", "tokenizer_json", |bytes| {
        let long = "u".repeat(bytes.min(1024));
        let json = tokenizer(&format!(r#"{{"{long}":0,"a":1}}"#), "[]", "");
        let json = String::from_utf8(json).unwrap_or_default();
        let json = json.replace(
            r#""type":"BPE","#,
            &format!(r#""type":"BPE","unk_token":"{long}","#),
        );
        json.replace(
            r#"{"type":"ByteLevel","add_prefix_space":false}"#,
            r#"{"type":"Metaspace","replacement":"▁"}"#,
        )
        .replace(
            r#"{"type":"ByteLevel"}"#,
            r#"{"type":"Metaspace","replacement":"▁"}"#,
        )
        .into_bytes()
    }),
    shape("pattern_that_reads_on", "tokenizer_json", |_| {
        split(".*[^A-Z]|[A-Z]")
    }),
    shape("pattern_of_repetitions", "tokenizer_json", |_| {
        split(r"((\\p{L}{9}){9}){9}|(\\w{1,50}a){1,50}")
    }),
    shape("pattern_of_word_boundaries", "tokenizer_json", |_| {
        split(r"\\b\\w|.")
    }),
    shape("config_of_lists", "repository", |bytes| {
        let lists = format!(
            r#"{{"model_type":"llama","x":[{}0]}}"#,
            "[],".repeat(bytes / 3)
        );
        repository(&small().with("config.json", lists))
    }),
    shape("config_of_objects", "repository", |bytes| {
        let lists = format!(
            r#"{{"model_type":"llama","x":[{}0]}}"#,
            "{\"\":{}},".repeat(bytes / 8)
        );
        repository(&small().with("config.json", lists))
    }),
    shape("header_with_a_long_shape", "repository", |bytes| {
        let shape = format!("[{}1]", "1,".repeat(bytes / 2));
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}"#);
        repository(&small().with(
            "model.safetensors",
            [with_header(&header), vec![0; 4]].concat(),
        ))
    }),
    shape("header_about_lists", "repository", |bytes| {
        let header = format!(r#"{{"__metadata__":[{}0]}}"#, "[],".repeat(bytes / 3));
        repository(&small().with("model.safetensors", with_header(&header)))
    }),
    shape("header_of_empty_tensors", "repository", |bytes| {
        let entry = |at| {
            format!(
                r#""{at:x}":{{"dtype":"U8","shape":[],"data_offsets":[{at},{}]}}"#,
                at + 1
            )
        };
        let count = bytes / 60;
        let entries: Vec<String> = (0..count).map(entry).collect();
        let header = with_header(&format!("{{{}}}", entries.join(",")));
        repository(&small().with("model.safetensors", [header, vec![0; count]].concat()))
    }),
    shape("index_of_lists", "repository", |bytes| {
        let index = format!(r#"{{"weight_map":{{"a":[{}0]}}}}"#, "[],".repeat(bytes / 3));
        repository(
            &small()
                .without("model.safetensors")
                .with("model.safetensors.index.json", index),
        )
    }),
    shape("config_of_a_tokenizer", "repository", |bytes| {
        let added = format!(
            r#"{{"additional_special_tokens":[{}0]}}"#,
            "[],".repeat(bytes / 3)
        );
        repository(&small().with("tokenizer_config.json", added))
    }),
];

const fn shape(name: &'static str, target: &'static str, build: fn(usize) -> Vec<u8>) -> Shape {
    Shape {
        name,
        target,
        build,
    }
}

/// The tiny repository with two tensors, which are enough to open it.
fn small() -> Files {
    Files::tiny().with("model.safetensors", safetensors(&tiny_tensors()[..2]))
}

/// Files as the fuzz target `repository` reads them.
pub fn repository(files: &Files) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, content) in &files.files {
        all.extend(format!("{name}\n{}\n", content.len()).bytes());
        all.extend(content);
    }
    all
}

/// Texts of which each is the beginning of the next, of about so many bytes together.
fn nested(bytes: usize, letter: usize) -> Vec<String> {
    let letter = ["", "a", "\u{e9}"][letter];
    let sizes = (1..).scan(0, |all, count| {
        *all += count + 16;
        (*all <= bytes).then_some(count)
    });
    sizes.map(|count| letter.repeat(count)).collect()
}

/// A SentencePiece-style vocabulary with scores and no merges.
fn scores(tokens: &[String]) -> Vec<u8> {
    let scores = array(
        6,
        tokens.len() as u64,
        (0..tokens.len())
            .flat_map(|at| (-(at as f32)).to_le_bytes())
            .collect(),
    );
    Builder::llama()
        .without("tokenizer.ggml.merges")
        .with("tokenizer.ggml.model", string("llama"))
        .with("tokenizer.ggml.tokens", strings(tokens))
        .with("tokenizer.ggml.scores", scores)
        .with("tokenizer.ggml.token_type", i32s(&vec![1; tokens.len()]))
        .build()
}

fn with_key(value: Field) -> Vec<u8> {
    Builder::llama().with("some.key", value).build()
}

/// A byte-level `tokenizer.json`.
fn tokenizer(vocab: &str, merges: &str, before: &str) -> Vec<u8> {
    let pre = match before.contains("pre_tokenizer") {
        true => "",
        false => r#""pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"#,
    };
    format!(
        r#"{{{before}{pre}"decoder":{{"type":"ByteLevel"}},"model":{{"type":"BPE","vocab":{vocab},
        "merges":{merges}}}}}"#
    )
    .into_bytes()
}

/// A `tokenizer.json` with a part that is a long list.
fn part(name: &str, element: &str, bytes: usize) -> Vec<u8> {
    let list = format!(
        r#""{name}":{{"type":"x","x":[{}0]}},"#,
        element.repeat(bytes / element.len())
    );
    let json = String::from_utf8(tokenizer(r#"{"a":0}"#, "[]", &list)).unwrap_or_default();
    // Of two decoders, the parser takes none.
    let json = if name == "decoder" {
        json.replace(r#""decoder":{"type":"ByteLevel"},"#, "")
    } else {
        json
    };
    json.into_bytes()
}

/// A `tokenizer.json` that cuts by a pattern.
fn split(pattern: &str) -> Vec<u8> {
    let step =
        format!(r#"{{"type":"Split","pattern":{{"Regex":"{pattern}"}},"behavior":"Isolated"}}"#);
    let letters = r#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#;
    let steps =
        format!(r#""pre_tokenizer":{{"type":"Sequence","pretokenizers":[{step},{letters}]}},"#);
    tokenizer(r#"{"a":0,"A":1}"#, "[]", &steps)
}
