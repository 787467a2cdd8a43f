//! Odd but clear files: the model opens, with a note.

use godwit::RopeOverride;
use godwit::low_level::Examination;
use godwit_tests::repository::{Files, safetensors, tiny_tensors, tokenizer};
use serde_json::{Value, json};

use super::lies::{header, with_tensor};
use super::{INDEX, WEIGHTS};

/// Odd but clear files open, with a note.
#[test]
fn contradictions_are_reported() {
    let notes = |files: Files| {
        files
            .open()
            .expect("a valid repository")
            .checkpoint()
            .notes()
            .join("\n")
    };
    assert_eq!(notes(Files::tiny()), "");
    let long = Files::tiny()
        .set("rope_theta", json!(45218125210.0_f64))
        .set("max_position_embeddings", json!(1234));
    assert!(notes(long).contains("max_position_embeddings is 1234"));
    let two = Files::tiny().set(
        "rope_parameters",
        json!({"rope_type": "default", "rope_theta": 5e5}),
    );
    assert!(notes(two.clone()).contains("500000 counts"));
    assert_eq!(two.open().expect("it opens").config().theta, 5e5);
    let types = Files::tiny().set(
        "rope_scaling",
        json!({"rope_type": "linear", "type": "yarn", "factor": 2.0}),
    );
    assert!(notes(types).contains("rope_type counts"));
    let mut tensors = tiny_tensors();
    tensors.push((
        "lm_head.weight".into(),
        "F32",
        vec![32, 64],
        vec![1; 4 * 32 * 64],
    ));
    let files = Files::tiny().with(WEIGHTS, safetensors(&tensors));
    let said = notes(files.clone());
    assert!(said.contains("lm_head.weight is not used"), "{said}");
    let model = files.open().expect("it opens");
    assert!(model.checkpoint().tensor("output.weight").is_none());
    // It is another head than the one that is used: found out when weights are to be loaded.
    let said = model
        .checkpoint()
        .check_weights()
        .expect_err("two heads")
        .to_string();
    assert!(
        said.contains("lm_head.weight is not model.embed_tokens.weight"),
        "{said}"
    );
    if let Some(head) = tensors.last_mut() {
        head.3.fill(0);
    }
    let same = Files::tiny()
        .with(WEIGHTS, safetensors(&tensors))
        .open()
        .expect("it opens");
    assert_eq!(same.checkpoint().check_weights(), Ok(()));
}

/// What changes nothing passes: values at which a variation does nothing, tables that follow from
/// the hyperparameters, keys that describe, and what nothing needs.
#[test]
fn what_changes_nothing_passes() {
    let tiny = Files::tiny;
    let rope = json!({"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0});
    for (name, files) in [
        (
            "classes",
            tiny().set("architectures", json!(["LlamaForCausalLM"])),
        ),
        ("no classes", tiny().set("architectures", Value::Null)),
        (
            "an activation by its other name",
            tiny().set("hidden_act", json!("swish")),
        ),
        (
            "all of each head rotated",
            tiny()
                .set("partial_rotary_factor", json!(1.0))
                .set("rope_parameters", rope),
        ),
        (
            "the usual scale",
            tiny().set("attention_multiplier", json!(0.176_776_7)),
        ),
        (
            "no caps",
            tiny().set("final_logit_softcapping", Value::Null),
        ),
        ("no experts", tiny().set("num_local_experts", json!(0))),
        ("a sliding window that is not used", {
            tiny()
                .set("sliding_window", json!(8))
                .set("use_sliding_window", json!(false))
        }),
        (
            "layers of one kind",
            tiny().set("layer_types", json!(["full_attention"])),
        ),
        (
            "no biases",
            tiny()
                .set("attention_bias", json!(false))
                .set("mlp_bias", json!(false)),
        ),
        ("biases of zeros that are denied", {
            tiny()
                .set("attention_bias", json!(false))
                .with(WEIGHTS, safetensors(&with_tensor(Q_BIAS, 64)))
        }),
        (
            "counts as floats",
            tiny().set("num_hidden_layers", json!(1.0)),
        ),
        ("inverse frequencies", {
            tiny().with(
                WEIGHTS,
                safetensors(&with_tensor(
                    "model.layers.0.self_attn.rotary_emb.inv_freq",
                    16,
                )),
            )
        }),
        ("metadata of the weights that is no text", {
            tiny().with(
                WEIGHTS,
                header(|json| json["__metadata__"] = json!({"format": "pt", "n": 1})),
            )
        }),
        (
            "no metadata of the weights",
            tiny().with(WEIGHTS, header(|json| json["__metadata__"] = Value::Null)),
        ),
        ("a byte order mark", {
            let config = String::from_utf8(tiny().files["config.json"].clone()).expect("JSON");
            tiny().with("config.json", format!("\u{feff}{config}"))
        }),
        (
            "a negative temperature",
            tiny().with("generation_config.json", r#"{"temperature": -1}"#),
        ),
        (
            "a top_p of 7",
            tiny().with("generation_config.json", r#"{"top_p": 7}"#),
        ),
        (
            "a temperature in words",
            tiny().with("generation_config.json", r#"{"temperature": "0.6"}"#),
        ),
        (
            "a template that is no text",
            tiny().with("chat_template.jinja", vec![0xff, 0xfe]),
        ),
        (
            "a template that is a number",
            tiny().with("tokenizer_config.json", r#"{"chat_template": 7}"#),
        ),
        ("an index with ./", {
            let index = String::from_utf8(Files::sharded().files[INDEX].clone()).expect("JSON");
            Files::sharded().with(INDEX, index.replace("\"a.saf", "\"./a.saf"))
        }),
    ] {
        assert_eq!(files.open().map(|_| ()), Ok(()), "{name}");
    }
}

/// An unknown key may change an answer or not: the model opens, and the key is named.
#[test]
fn unknown_keys_are_named() {
    let notes = |files: Files| files.open().expect("a valid repository").notes().join("\n");
    let unknown = Files::tiny()
        .set("frobnicate", json!(0.5))
        .set("apply_frob", json!(false))
        .set(
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 2.0, "foo": 3}),
        );
    assert!(
        notes(unknown.clone()).contains(
            "config.json: these keys are not known and are ignored: frobnicate, apply_frob, \
             rope_scaling.foo"
        ),
        "{}",
        notes(unknown)
    );
    let newer = json!({"rope_type": "default", "rope_theta": 1e4, "foo": 3});
    let said = notes(Files::tiny().set("rope_parameters", newer));
    assert!(
        said.contains("config.json: this key is not known and is ignored: rope_parameters.foo"),
        "{said}"
    );
    let model = Files::tiny()
        .set("frobnicate", json!([1]))
        .open()
        .expect("it opens");
    let found = Examination::of(model.checkpoint(), &RopeOverride::default());
    assert_eq!(found.unused_keys, ["config.json: frobnicate"]);
}

/// All keys of published repositories are known.
#[test]
fn usual_keys_are_known() {
    let usual = [
        // transformers 4 and 5, of Llama and SmolLM2.
        json!({
            "_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "attention_bias": false,
            "attention_dropout": 0.0, "bos_token_id": 1, "pad_token_id": 2, "head_dim": 32,
            "initializer_range": 0.02,
            "is_llama_config": true, "mlp_bias": false, "pretraining_tp": 1,
            "rope_interleaved": false,
            "rope_scaling": null, "torch_dtype": "bfloat16", "transformers_version": "4.42.3",
            "use_cache": true,
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        }),
        json!({
            "dtype": "bfloat16", "transformers_version": "5.0.0", "rope_theta": null,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
            "unsloth_fixed": true,
            "unsloth_version": "2025.1.1", "layer_types": ["full_attention"],
            "max_window_layers": 28,
            "sliding_window": null, "use_sliding_window": false,
        }),
        // Vicuna, Yi, TinyLlama and DeepSeek; all that transformers wrote before it left defaults
        // out.
        json!({
            "max_sequence_length": 128, "unk_token_id": 0, "model_max_length": 128,
            "tokenizer_class": "LlamaTokenizer",
            "temperature": 1.0, "top_p": 1.0, "top_k": 50, "do_sample": false, "num_beams": 1,
            "max_length": 20,
            "bad_words_ids": null, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
            "return_dict": true,
            "output_attentions": false, "output_hidden_states": false, "is_decoder": false,
            "torchscript": false,
            "is_encoder_decoder": false, "pruned_heads": {}, "task_specific_params": null,
            "problem_type": null,
            "tie_encoder_decoder": false, "chunk_size_feed_forward": 0, "use_bfloat16": false,
            "prefix": null,
            "repetition_penalty": 1.0, "typical_p": 1.0, "_flash_attn_2_enabled": true,
            "add_cross_attention": false,
        }),
        // YaRN as its authors write it.
        json!({
            "rope_scaling": {
                "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                "finetuned": true,
                "beta_fast": 32, "beta_slow": 1,
            },
        }),
    ];
    for keys in usual {
        let entries = keys.as_object().expect("an object").iter();
        let files = entries.fold(Files::tiny(), |files, (key, value)| {
            files.set(key, value.clone())
        });
        assert_eq!(
            files.open().expect("a valid repository").notes(),
            Files::tiny().open().expect("valid").notes()
        );
    }
}

const Q_BIAS: &str = "model.layers.0.self_attn.q_proj.bias";

/// An unusable value is an error where it is asked for, with its file and key.
#[test]
fn values_are_errors_where_they_are_used() {
    let generation = |json: &str| {
        Files::tiny()
            .with("generation_config.json", json)
            .open()
            .expect("it opens")
    };
    let model =
        generation(r#"{"top_p": 7, "top_k": -1, "temperature": 1, "repetition_penalty": "1"}"#);
    let said: Vec<String> = model
        .recommended()
        .causes()
        .iter()
        .map(|(_, error)| error.to_string())
        .collect();
    assert_eq!(
        said,
        [
            "repo/generation_config.json, key `top_p`: it is 7, but must be a number above 0 and \
             at most 1",
            "repo/generation_config.json, key `repetition_penalty`: it is a string (`1`), but \
             must be a number",
        ]
    );
    let sampling = model.sampling();
    assert_eq!(
        (sampling.temperature, sampling.top_k, sampling.top_p),
        (1.0, 0, 0.9)
    );

    let ignored = |json: &str| {
        generation(json)
            .notes()
            .iter()
            .find(|note| note.contains("ignored"))
            .cloned()
    };
    let plain = r#"{"num_beams": 1, "typical_p": 1.0, "bad_words_ids": null,
        "min_length": 0, "max_length": 20}"#;
    assert_eq!(ignored(plain), None);
    let said = ignored(r#"{"num_beams": 4, "no_repeat_ngram_size": 3, "suppress_tokens": [7]}"#);
    let expected = "repo/generation_config.json: not supported, and ignored when tokens are \
        chosen: \
                    num_beams, no_repeat_ngram_size, suppress_tokens";
    assert_eq!(said.as_deref(), Some(expected));

    let template = |json: &str| {
        let files = Files::tiny().with(
            "tokenizer_config.json",
            format!(r#"{{"chat_template": {json}}}"#),
        );
        files
            .open()
            .expect("it opens")
            .chat()
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let list = r#"[{"name": "tool_use", "template": "x"}, {"name": "rag", "template": "y"}]"#;
    let said = template(list).expect_err("no default");
    assert!(
        said.contains("repo/tokenizer_config.json") && said.contains("tool_use, rag"),
        "{said}"
    );
    assert_eq!(template(&list.replace("rag", "default")), Ok(()));
    let said = template("7").expect_err("a number");
    assert!(
        said.contains("repo/tokenizer_config.json, key `chat_template`: it is a number (7)"),
        "{said}"
    );
}

/// Parts that the tokenizer can do without are left out, with a note.
#[test]
fn odd_tokens_are_said() {
    let opened = |files: Files| files.open().expect("a valid repository");
    let model = opened(Files::tiny().set("eos_token_id", json!([31, 32, -1])));
    assert_eq!(model.tokenizer().ends(), [31]);
    let notes = model.tokenizer().notes().join("\n");
    assert!(
        notes.contains("an end token is 32, but there are 32 tokens: it is not used"),
        "{notes}"
    );
    assert!(
        notes.contains(
            "\"t31\" (31, ordinary text) is a token by which turns or texts begin or end"
        ),
        "{notes}"
    );
    let model = opened(Files::tiny().with("tokenizer.json", tokenizer(33).to_string()));
    assert!(
        model
            .tokenizer()
            .notes()
            .join("\n")
            .contains("1 of 33 tokens are beyond the embedding's 32 rows")
    );
}
