//! The reference's ids and conversations.

use super::*;

#[derive(Deserialize)]
pub(super) struct Golden {
    pub(super) prose_sha256: String,
    pub(super) texts: BTreeMap<String, String>,
    pub(super) chats: BTreeMap<String, Vec<Message>>,
    pub(super) llama3: Expected,
    pub(super) smollm2: Expected,
}

#[derive(Deserialize)]
pub(super) struct Expected {
    pub(super) texts: BTreeMap<String, Vec<u32>>,
    pub(super) prose: Prose,
    pub(super) chats: BTreeMap<String, Chat>,
}

#[derive(Deserialize)]
pub(super) struct Prose {
    pub(super) count: usize,
    pub(super) sha256: String,
}

#[derive(Deserialize)]
pub(super) struct Chat {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
}

pub(super) fn golden() -> Golden {
    let text =
        std::fs::read_to_string(fixture("tests/golden/tokenizer.json")).expect("a readable file");
    serde_json::from_str(&text).expect("valid JSON")
}

pub(super) fn llama3() -> (Tokenizer, ChatTemplate) {
    let file = std::fs::read(fixture("models/llama3/tokenizer.json")).expect("a readable file");
    let config =
        std::fs::read(fixture("models/llama3/tokenizer_config.json")).expect("a readable file");
    let tokenizer = Tokenizer::from_json(&file, Some(&config)).expect("a tokenizer");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("valid JSON");
    let template = config["chat_template"].as_str().expect("a template");
    let chat = ChatTemplate::new(template, "<|begin_of_text|>", "<|eot_id|>")
        .expect("a template that compiles");
    (tokenizer, chat)
}

pub(super) fn check(
    tokenizer: &Tokenizer,
    chat: &ChatTemplate,
    golden: &Golden,
    expected: &Expected,
) {
    for (name, text) in &golden.texts {
        let found = tokenizer.encode(text, Special::Parse).expect(name);
        assert_eq!(found, expected.texts[name], "{name}");
        if !["control", "odd"].contains(&name.as_str()) {
            assert_eq!(&tokenizer.decode(&found), text, "{name}");
        }
    }
    for (name, messages) in &golden.chats {
        for (suffix, generate) in [("", false), (" +", true)] {
            let expected = &expected.chats[&format!("{name}{suffix}")];
            assert_eq!(
                chat.render(messages, generate).as_deref(),
                Ok(expected.text.as_str()),
                "{name}{suffix}"
            );
            let ids = chat.encode(tokenizer, messages, generate).expect(name);
            assert_eq!(ids, expected.ids, "{name}{suffix}");
        }
    }
    // 1 MB of prose, by a hash of the ids.
    let prose = std::fs::read_to_string(fixture("models/kjv.txt")).expect("a readable file");
    let prose = &prose[..1 << 20];
    assert_eq!(
        sha256(prose.as_bytes()),
        golden.prose_sha256,
        "models/kjv.txt is another edition"
    );
    let ids = tokenizer.encode(prose, Special::Parse).expect("ids");
    assert_eq!(ids.len(), expected.prose.count);
    assert_eq!(sha256(bytemuck::cast_slice(&ids)), expected.prose.sha256);
    assert_eq!(tokenizer.decode(&ids), prose);
}

/// By the system's own tool: the tests need it for nothing else.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("a written file");
    let output = std::process::Command::new("sha256sum")
        .arg(file.path())
        .output()
        .expect("sha256sum");
    String::from_utf8_lossy(&output.stdout)
        .chars()
        .take(64)
        .collect()
}

#[test]
fn llama3_equals_transformers() {
    let (golden, (tokenizer, chat)) = (golden(), llama3());
    check(&tokenizer, &chat, &golden, &golden.llama3);
    for end in ["<|end_of_text|>", "<|eot_id|>"] {
        assert!(
            tokenizer
                .control(end)
                .is_some_and(|id| tokenizer.is_end(id)),
            "{end} ends a turn"
        );
    }
}

#[test]
fn smollm2_equals_transformers() {
    let (golden, model) = (golden(), smollm2());
    check(
        model.tokenizer(),
        &model.chat().expect("a template"),
        &golden,
        &golden.smollm2,
    );
}

/// The small tokenizers of `tests/golden/tokenizer_kinds.py`.
#[derive(Deserialize)]
pub(super) struct Kinds {
    pub(super) texts: BTreeMap<String, String>,
    pub(super) vocabularies: BTreeMap<String, Json>,
    pub(super) kinds: BTreeMap<String, Json>,
    /// Ids by whole tokenizers, in `models/`.
    pub(super) files: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
}

impl Kinds {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string(fixture("tests/golden/tokenizer_kinds.json"))
            .expect("a readable file");
        serde_json::from_str(&text).expect("valid JSON")
    }

    /// The `tokenizer.json` of a kind.
    pub(super) fn file(&self, kind: &Json) -> Json {
        let mut model = kind["model"].clone();
        let vocabulary = &self.vocabularies[kind["vocabulary"].as_str().expect("a vocabulary")];
        for part in ["vocab", "merges"] {
            model[part] = vocabulary[part].clone();
        }
        model["type"] = "BPE".into();
        json!({
            "normalizer": kind["normalizer"], "pre_tokenizer": kind["pre_tokenizer"],
            "decoder": kind["decoder"],
            "added_tokens": kind["added_tokens"], "model": model,
        })
    }
}

#[test]
fn every_kind_gives_the_reference_ids() {
    let all = Kinds::read();
    for (name, kind) in &all.kinds {
        let file = all.file(kind).to_string();
        let tokenizer = Tokenizer::from_json(file.as_bytes(), None).expect(name);
        for (text_name, text) in &all.texts {
            let expected: Vec<u32> =
                serde_json::from_value(kind["ids"][text_name].clone()).expect("ids");
            let found = tokenizer.encode(text, Special::Parse);
            assert_eq!(found.as_ref(), Ok(&expected), "{name}, {text_name}");
        }
    }
    for (name, ids) in &all.files {
        let file = std::fs::read(fixture(&format!("models/{name}/tokenizer.json")))
            .expect("a readable file");
        let tokenizer = Tokenizer::from_json(&file, None).expect(name);
        for (text_name, text) in &all.texts {
            assert_eq!(
                tokenizer.encode(text, Special::Parse).as_ref(),
                Ok(&ids[text_name]),
                "{name}, {text_name}"
            );
        }
    }
}
