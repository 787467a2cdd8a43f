//! A tokenizer goes into the quantised file, and comes out of it.

use super::*;

/// A model quantised as it is, and read again.
pub(super) fn requantised(model: &Model) -> Model {
    let mut bytes = Vec::new();
    write_gguf(model.checkpoint(), Mix::F32, &mut bytes, &mut |_| {
        ControlFlow::Continue(())
    })
    .expect("a GGUF file");
    Model::from_sources(vec![Box::new(Bytes {
        name: "model.gguf".into(),
        data: bytes,
    })])
    .expect("it opens")
}

pub(super) const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}\
    <|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{{ eos_token }}<s> </s>";

/// A repository with a tokenizer, several ends and a chat template; a few rows of the embedding
/// have no token.
fn with_tokenizer(file: &Json, config: &Json) -> Model {
    let ids = file["model"]["vocab"]
        .as_object()
        .expect("a vocabulary")
        .values()
        .filter_map(Json::as_u64);
    let added = file["added_tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|token| token["id"].as_u64());
    let largest = ids.chain(added).max().expect("a token") as u32;
    let mut config = config.clone();
    config["chat_template"] = TEMPLATE.into();
    Files::with_tokenizer(file, largest + 4)
        .with("tokenizer_config.json", config.to_string())
        .with(
            "generation_config.json",
            json!({"eos_token_id": [largest, largest - 1, 260, 261]}).to_string(),
        )
        .open()
        .expect("a valid repository")
}

/// Everything that a tokenizer does, to two of them.
pub(super) fn assert_same(name: &str, one: &Model, other: &Model, text: &str) {
    let (a, b) = (one.tokenizer(), other.tokenizer());
    for special in [Special::Parse, Special::Text] {
        let ids = a.encode(text, special);
        assert_eq!(b.encode(text, special), ids, "{name}, {text:?}");
        if let Ok(ids) = ids {
            assert_eq!(b.decode(&ids), a.decode(&ids), "{name}, {text:?}");
        }
    }
    let messages = [Message::user(text), Message::assistant("<|im_end|><s>")];
    let chat = |model: &Model| {
        let chat = model.chat().expect("a template");
        (
            chat.render(&messages, true),
            chat.encode(model.tokenizer(), &messages, true),
        )
    };
    assert_eq!(chat(other), chat(one), "{name}, {text:?}");
}

pub(super) fn assert_alike(name: &str, one: &Model, other: &Model) {
    let (a, b) = (one.tokenizer(), other.tokenizer());
    assert_eq!(b.ends(), a.ends(), "{name}");
    assert_eq!((b.bos(), b.adds_bos()), (a.bos(), a.adds_bos()), "{name}");
    for id in 0..one.config().vocab {
        assert_eq!(b.is_control(id), a.is_control(id), "{name}, token {id}");
        assert_eq!(b.token_bytes(id), a.token_bytes(id), "{name}, token {id}");
    }
}

pub(super) const HUGGING_FACE: &str = "tokenizer.huggingface.json";

/// Every kind of tokenizer, SmolLM2's and Llama 3's: the same ids, ends and chats before and after.
#[test]
fn quantising_keeps_the_tokenizer() {
    let (all, golden, smollm2) = (Kinds::read(), golden(), smollm2());
    let json = |path: &str| -> Json {
        serde_json::from_slice(&std::fs::read(fixture(path)).expect("a readable file"))
            .expect("valid JSON")
    };
    let (smol, smol_config) = smollm_tokenizer(&smollm2);
    let mut models: Vec<(String, Json, Json)> = vec![
        ("SmolLM2".into(), smol, smol_config),
        (
            "Llama 2".into(),
            json("models/llama2/tokenizer.json"),
            json("models/llama2/tokenizer_config.json"),
        ),
        (
            "Llama 3".into(),
            json("models/llama3/tokenizer.json"),
            json("models/llama3/tokenizer_config.json"),
        ),
    ];
    models.extend(
        all.kinds
            .iter()
            .map(|(name, kind)| (name.clone(), all.file(kind), json!({}))),
    );
    let mut in_own_keys = Vec::new();
    let texts = || golden.texts.values().chain(all.texts.values());
    for (name, file, config) in &models {
        let original = with_tokenizer(file, config);
        let written = requantised(&original);
        if written.checkpoint().metadata().get(HUGGING_FACE).is_none() {
            in_own_keys.push(name.as_str());
        }
        let again = requantised(&written);
        for model in [&written, &again] {
            assert_alike(name, &original, model);
            texts().for_each(|text| assert_same(name, &original, model, text));
        }
    }
    // The same in the form of llama.cpp's converter.
    let expected = [
        "SmolLM2",
        "Llama 2",
        "Llama 3",
        "added_normalized_alone",
        "gemma",
        "gpt2",
        "inverted",
        "llama2",
        "llama2_trained",
        "llama3",
        "metaspace_never",
        "qwen2",
        "smollm",
        "some_bytes",
        "without_prefix",
    ];
    assert_eq!(in_own_keys, expected);
    // GGUF's own keys again, of files that were GGUF files from the start.
    let again = requantised(&smollm2);
    assert_alike("SmolLM2", &smollm2, &again);
    golden
        .texts
        .values()
        .for_each(|text| assert_same("SmolLM2", &smollm2, &again, text));
}

/// The same for texts that nobody thought of.
#[test]
fn quantising_keeps_the_ids_of_any_text() {
    use proptest::prelude::*;
    let all = Kinds::read();
    let models: Vec<_> = all
        .kinds
        .iter()
        .map(|(name, kind)| {
            let original = with_tokenizer(&all.file(kind), &json!({}));
            let written = requantised(&original);
            (name, original, written)
        })
        .collect();
    let piece = prop_oneof![
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\u{2581}".to_owned()),
        prop::sample::select(vec![
            "<mid>",
            "<|begin|>",
            "<|stop|>",
            "<s>",
            "</s>",
            "<unk>",
            "<0x0A>",
            "the",
            "''",
            "<|im_end|>"
        ])
        .prop_map(str::to_owned),
        "[ a-zA-Z0-9]{1,6}",
        "\\PC{1,4}",
        any::<char>().prop_map(String::from),
    ];
    let texts = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&texts, |text| {
            models
                .iter()
                .for_each(|(name, original, written)| assert_same(name, original, written, &text));
            Ok(())
        })
        .expect("the same ids");
}

/// Parts of a `tokenizer.json` that would change ids and are not read: refused by name.
#[test]
fn what_is_not_honoured_is_refused_by_name() {
    let all = Kinds::read();
    let said = |name: &str, key: &str, value: Json| {
        let mut file = all.file(&all.kinds[name]);
        file[key] = value;
        Tokenizer::from_json(file.to_string().as_bytes(), None)
            .expect_err(key)
            .to_string()
    };
    for (key, value) in [
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": ""}),
        ),
        ("normalizer", json!({"type": "BertNormalizer"})),
        ("normalizer", json!({"type": "Nmt"})),
        (
            "normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}),
        ),
        ("pre_tokenizer", json!({"type": "BertPreTokenizer"})),
        ("pre_tokenizer", json!({"type": "Whitespace"})),
        ("pre_tokenizer", json!({"type": "UnicodeScripts"})),
        (
            "pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "_", "split": false}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "\u{2581}", "add_prefix_space": false}),
        ),
        ("decoder", json!({"type": "WordPiece", "prefix": "##"})),
        ("decoder", json!({"type": "BPEDecoder", "suffix": "</w>"})),
        (
            "decoder",
            json!({"type": "Strip", "content": " ", "start": 2, "stop": 0}),
        ),
        (
            "post_processor",
            json!({"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}),
        ),
        (
            "post_processor",
            json!({"type": "TemplateProcessing", "single": [
                {"SpecialToken": {"id": "<s>"}}, {"SpecialToken": {"id": "<s>"}},
            {"Sequence": {"id": "A"}},
            ]}),
        ),
    ] {
        let said = said("llama2", key, value.clone());
        assert!(
            said.starts_with(&format!("`{key}` is `")) && said.contains("not supported"),
            "{value}: {said}"
        );
    }
    for (key, value) in [
        ("type", json!("WordPiece")),
        ("type", json!("Unigram")),
        ("dropout", json!(0.1)),
        ("continuing_subword_prefix", json!("##")),
        ("end_of_word_suffix", json!("</w>")),
    ] {
        let mut file = all.file(&all.kinds["llama2"]);
        file["model"][key] = value;
        let said = Tokenizer::from_json(file.to_string().as_bytes(), None)
            .expect_err(key)
            .to_string();
        assert!(said.contains(&format!("`model.{key}`")), "{said}");
    }
    // A control token that only text of another shape could become.
    let mut file = all.file(&all.kinds["llama2"]);
    file["added_tokens"][1]["normalized"] = true.into();
    let said = Tokenizer::from_json(file.to_string().as_bytes(), None)
        .expect_err("normalized")
        .to_string();
    assert!(said.contains("`added_tokens[1].normalized`"), "{said}");
}
