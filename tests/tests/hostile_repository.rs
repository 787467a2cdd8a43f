//! Repositories that lie, are cut, or make no sense: an error that names the fault, never a panic,
//! never memory for a lie.

use std::fmt::Write as _;

use godwit::{Examination, Model, RopeOverride};
use godwit_tests::repository::{Files, Stored, safetensors, tiny_tensors, tokenizer, with_header};
use serde_json::{Value, json};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const SECOND: &str = "model.embed_tokens.weight";

/// The header of the tiny repository's weight file, changed; the data stays.
fn header(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = safetensors(&tiny_tensors());
    let end = 8 + u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let mut json: Value = serde_json::from_slice(&file[8..end]).expect("valid JSON");
    change(&mut json);
    [with_header(&json.to_string()), file[end..].to_vec()].concat()
}

/// One tensor's entry set to something else.
fn entry(key: &str, value: Value) -> Vec<u8> {
    header(|json| json[SECOND][key] = value)
}

fn cases() -> Vec<(&'static str, Files)> {
    let tiny = Files::tiny;
    let weights = |bytes: Vec<u8>| tiny().with(WEIGHTS, bytes);
    let scaling = |json: Value| tiny().set("rope_scaling", json);
    let index = |json: Value| Files::sharded().with(INDEX, json.to_string());
    let raw = |text: &str| tiny().with("config.json", text);
    let shard = |name: &str| index(json!({"weight_map": {SECOND: name}}));
    vec![
        ("no config.json", tiny().without("config.json")),
        ("an empty config.json", raw("")),
        ("a config.json that is a list", raw("[]")),
        (
            "a config.json with NaN",
            raw(r#"{"model_type": "llama", "rope_theta": NaN}"#),
        ),
        (
            "a config.json with 1e999",
            raw(r#"{"model_type": "llama", "rope_theta": 1e999}"#),
        ),
        ("a config.json that is cut", raw(r#"{"model_type": "lla"#)),
        (
            "a config.json nested 100,000 deep",
            raw(&format!(r#"{{"x": {}"#, "[".repeat(100_000))),
        ),
        (
            "a config.json that is not UTF-8",
            tiny().with("config.json", vec![b'{', b'"', 0xff, b'"']),
        ),
        ("no model_type", tiny().set("model_type", Value::Null)),
        (
            "another model_type",
            tiny().set("model_type", json!("mamba")),
        ),
        (
            "a model_type that is a number",
            tiny().set("model_type", json!(7)),
        ),
        ("no layers", tiny().set("num_hidden_layers", Value::Null)),
        ("0 layers", tiny().set("num_hidden_layers", json!(0))),
        ("-1 layers", tiny().set("num_hidden_layers", json!(-1))),
        (
            "2^63 layers",
            tiny().set("num_hidden_layers", json!(1_u64 << 63)),
        ),
        ("half a layer", tiny().set("num_hidden_layers", json!(0.5))),
        (
            "layers in words",
            tiny().set("num_hidden_layers", json!("two")),
        ),
        ("no width", tiny().set("hidden_size", json!(0))),
        (
            "a width that is not the embedding's",
            tiny().set("hidden_size", json!(128)),
        ),
        (
            "3 KV heads for 2 heads",
            tiny().set("num_key_value_heads", json!(3)),
        ),
        ("a head of 33", tiny().set("head_dim", json!(33))),
        (
            "a window of 0",
            tiny().set("max_position_embeddings", json!(0)),
        ),
        (
            "a vocabulary larger than the embedding",
            tiny().set("vocab_size", json!(33)),
        ),
        ("epsilon 0", tiny().set("rms_norm_eps", json!(0))),
        ("theta 0", tiny().set("rope_theta", json!(0))),
        ("theta negative", tiny().set("rope_theta", json!(-1e6))),
        ("theta in words", tiny().set("rope_theta", json!("1e6"))),
        (
            "biases that are not there",
            tiny().set("attention_bias", json!(true)),
        ),
        (
            "biases of the feed-forward that are not there",
            tiny().set("mlp_bias", json!(true)),
        ),
        (
            "another class",
            tiny().set("architectures", json!(["LlamaForSequenceClassification"])),
        ),
        (
            "a class without an output head",
            tiny().set("architectures", json!(["LlamaModel"])),
        ),
        ("part of each head rotated, in newer files", {
            tiny().set(
                "rope_parameters",
                json!({"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
            )
        }),
        ("frequencies scaled for long contexts", {
            tiny().set(
                "rope_scaling",
                json!({"rope_type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}),
            )
        }),
        (
            "logits capped",
            tiny().set("final_logit_softcapping", json!(30.0)),
        ),
        (
            "attention with another scale",
            tiny().set("attention_multiplier", json!(0.5)),
        ),
        (
            "residuals scaled",
            tiny().set("residual_multiplier", json!(0.22)),
        ),
        (
            "embeddings scaled",
            tiny().set("embedding_multiplier", json!(12)),
        ),
        ("logits scaled", tiny().set("logits_scaling", json!(8))),
        (
            "residuals scaled, by another name",
            tiny().set("residual_mult", json!(0.22)),
        ),
        (
            "embeddings scaled, by another name",
            tiny().set("embedding_mult", json!(12)),
        ),
        (
            "attention with another scale, by another name",
            tiny().set("attn_scale", json!(0.5)),
        ),
        (
            "scores of attention capped",
            tiny().set("attention_logit_cap", json!(30.0)),
        ),
        (
            "maximal update parametrization",
            tiny().set("mup_alpha", json!(4)),
        ),
        (
            "maximal update parametrization, as a flag",
            tiny().set("use_mup", json!(true)),
        ),
        (
            "a scale that is a flag",
            tiny().set("residual_scale", json!(true)),
        ),
        (
            "norms of another kind",
            tiny().set("norm_type", json!("layernorm")),
        ),
        ("no last norm", tiny().set("final_layernorm", json!(false))),
        (
            "neighbours rotated together",
            tiny().set("rope_interleaved", json!(true)),
        ),
        ("neighbours rotated together, in newer files", {
            tiny().set(
                "rope_parameters",
                json!({"rope_type": "default", "rope_theta": 1e4, "interleaved": true}),
            )
        }),
        ("rotated vectors of another length", {
            tiny().set(
                "rope_scaling",
                json!({"rope_type": "linear", "factor": 2, "attn_factor": 0.5}),
            )
        }),
        (
            "layers with keys of their own",
            tiny().set("per_layer_config", json!({"0": {"head_dim": 64}})),
        ),
        ("experts", tiny().set("num_local_experts", json!(8))),
        (
            "attention that looks ahead",
            tiny().set("is_causal", json!(false)),
        ),
        (
            "layers of another kind",
            tiny().set(
                "layer_types",
                json!(["full_attention", "sliding_attention"]),
            ),
        ),
        (
            "matrices of MLX",
            tiny().set("quantization", json!({"group_size": 64, "bits": 4})),
        ),
        (
            "bitsandbytes",
            tiny().set(
                "quantization_config",
                json!({"load_in_4bit": true, "quant_method": "bitsandbytes"}),
            ),
        ),
        (
            "GPTQ that config.json does not mention",
            packed(gptq(), |_| {}).set("quantization_config", Value::Null),
        ),
        (
            "another activation",
            tiny().set("hidden_act", json!("gelu")),
        ),
        (
            "part of each head rotated",
            tiny().set("partial_rotary_factor", json!(0.5)),
        ),
        (
            "weights quantised in an unknown way",
            tiny().set("quantization_config", json!({"quant_method": "magic"})),
        ),
        ("a scaling block that is a number", scaling(json!(4))),
        (
            "a scaling block without a type",
            scaling(json!({"factor": 2})),
        ),
        (
            "a scaling block of unknown type",
            scaling(json!({"rope_type": "magic", "factor": 2})),
        ),
        (
            "a scaling factor of 0",
            scaling(json!({"type": "linear", "factor": 0})),
        ),
        (
            "a scaling factor in words",
            scaling(json!({"type": "linear", "factor": "2"})),
        ),
        ("no scaling factor", scaling(json!({"type": "linear"}))),
        (
            "low waves above high waves",
            scaling(
                json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
                "high_freq_factor": 1}),
            ),
        ),
        (
            "a generation_config.json that is a word",
            tiny().with("generation_config.json", "true"),
        ),
        ("no tokenizer.json", tiny().without("tokenizer.json")),
        (
            "a tokenizer.json that is empty",
            tiny().with("tokenizer.json", "{}"),
        ),
        (
            "SentencePiece alone",
            tiny()
                .without("tokenizer.json")
                .with("tokenizer.model", "\n\0"),
        ),
        ("no weights", tiny().without(WEIGHTS)),
        ("weights of 7 bytes", weights(vec![0; 7])),
        (
            "a header of u64::MAX bytes",
            weights(u64::MAX.to_le_bytes().to_vec()),
        ),
        (
            "a header of 100 MB",
            weights(100_000_000_u64.to_le_bytes().to_vec()),
        ),
        (
            "a header that ends behind the file",
            weights([&1000_u64.to_le_bytes()[..], b"{}"].concat()),
        ),
        ("a header of 0 bytes", weights(vec![0; 8])),
        ("a header that is no JSON", weights(with_header("weights"))),
        ("a header that is a list", weights(with_header("[1, 2]"))),
        (
            "a header nested 100,000 deep",
            weights(with_header(&format!(r#"{{"x": {}"#, "[".repeat(100_000)))),
        ),
        (
            "an unknown type of number",
            weights(entry("dtype", json!("F7"))),
        ),
        ("weights of 8-bit floats", {
            let mut tensors = tiny_tensors();
            (tensors[0].1, tensors[0].2) = ("F8_E4M3", vec![32 * 4, 64]);
            weights(safetensors(&tensors))
        }),
        (
            "a shape that is larger than its bytes",
            weights(entry("shape", json!([33, 64]))),
        ),
        (
            "a shape whose product overflows",
            weights(entry("shape", json!([1_u64 << 62, 1_u64 << 62]))),
        ),
        (
            "a negative dimension",
            weights(entry("shape", json!([-32, -64]))),
        ),
        (
            "a dimension of 0",
            weights(header(|json| {
                json["x"] = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
            })),
        ),
        ("no dimensions", {
            let mut tensors = tiny_tensors();
            tensors.push(("x".into(), "F32", vec![], vec![0; 4]));
            weights(safetensors(&tensors))
        }),
        ("five dimensions", {
            let mut tensors = tiny_tensors();
            tensors[0].2 = vec![1, 1, 1, 32, 64];
            weights(safetensors(&tensors))
        }),
        (
            "offsets beyond the end",
            weights(entry(
                "data_offsets",
                json!([1_u64 << 40, (1_u64 << 40) + 8192]),
            )),
        ),
        (
            "offsets that run backwards",
            weights(entry("data_offsets", json!([8192, 0]))),
        ),
        (
            "offsets of u64::MAX",
            weights(entry("data_offsets", json!([u64::MAX, u64::MAX]))),
        ),
        (
            "overlapping tensors",
            weights(header(|json| {
                json["model.norm.weight"]["data_offsets"] = json!([0, 256])
            })),
        ),
        (
            "a hole in the data",
            weights(header(|json| json[SECOND] = Value::Null)),
        ),
        (
            "a tensor that is missing from the data",
            weights(header(|json| {
                json.as_object_mut().map(|table| table.remove(SECOND));
            })),
        ),
        (
            "bytes behind the data",
            weights([safetensors(&tiny_tensors()), vec![0; 4]].concat()),
        ),
        ("data that is cut", {
            let mut file = safetensors(&tiny_tensors());
            file.truncate(file.len() - 1);
            weights(file)
        }),
        (
            "a bias of another length",
            weights(safetensors(&with_tensor(
                "model.layers.0.self_attn.q_proj.bias",
                32,
            ))),
        ),
        (
            "a bias of a norm",
            weights(safetensors(&with_tensor(
                "model.layers.0.input_layernorm.bias",
                64,
            ))),
        ),
        (
            "norms of queries",
            weights(safetensors(&with_tensor(
                "model.layers.0.self_attn.q_norm.weight",
                64,
            ))),
        ),
        (
            "a layer too many",
            weights(safetensors(&with_tensor(
                "model.layers.1.mlp.up_proj.weight",
                64,
            ))),
        ),
        (
            "a tensor that is not known",
            weights(safetensors(&with_tensor("model.extra.weight", 1))),
        ),
        ("a bias that config.json denies", {
            let mut tensors = with_tensor("model.layers.0.self_attn.q_proj.bias", 64);
            tensors.last_mut().expect("it was pushed").3[3] = 0x3f;
            weights(safetensors(&tensors)).set("attention_bias", json!(false))
        }),
        ("a matrix that is missing", {
            let mut tensors = tiny_tensors();
            tensors.retain(|(name, ..)| !name.contains("k_proj"));
            weights(safetensors(&tensors))
        }),
        (
            "GPTQ of 3 bits",
            packed(json!({"quant_method": "gptq", "bits": 3}), |_| {}),
        ),
        (
            "groups of 33",
            packed(
                json!({"quant_method": "gptq", "bits": 4, "group_size": 33}),
                |_| {},
            ),
        ),
        (
            "a group of 0",
            packed(
                json!({"quant_method": "gptq", "bits": 4, "group_size": 0}),
                |_| {},
            ),
        ),
        (
            "AWQ in another layout",
            packed(
                json!({"quant_method": "awq", "bits": 4, "version": "gemv"}),
                |_| {},
            ),
        ),
        ("no scales", packed(gptq(), |parts| drop(parts.remove(2)))),
        (
            "scales of F32",
            packed(gptq(), |parts| {
                (parts[2].1, parts[2].2) = ("F32", vec![2, 32])
            }),
        ),
        (
            "codes for more inputs than there are scales",
            packed(gptq(), |parts| parts[0].2 = vec![16, 32]),
        ),
        (
            "a group that does not exist",
            packed(gptq(), |parts| parts[3].3[4] = 7),
        ),
        (
            "an untied head that is missing",
            tiny().set("tie_word_embeddings", json!(false)),
        ),
        ("shards without an index", Files::sharded().without(INDEX)),
        ("an index that is a list", index(json!([]))),
        ("an index without a map", index(json!({"metadata": {}}))),
        (
            "an index of numbers",
            index(json!({"weight_map": {SECOND: 7}})),
        ),
        ("an index that is empty", index(json!({"weight_map": {}}))),
        ("a shard above the folder", shard("../b.safetensors")),
        ("a shard in the root", shard("/etc/passwd")),
        ("a shard on a drive", shard("C:\\b.safetensors")),
        ("a shard in a folder", shard("x/b.safetensors")),
        ("a shard without a name", shard("")),
        ("a shard that is the index itself", shard(INDEX)),
        ("a shard that is not there", shard("c.safetensors")),
        ("a shard without the tensor", shard("b.safetensors")),
    ]
}

/// The tiny repository's tensors, and a vector of zeros.
fn with_tensor(name: &str, len: u64) -> Vec<Stored> {
    let mut tensors = tiny_tensors();
    tensors.push((name.into(), "F32", vec![len], vec![0; 4 * len as usize]));
    tensors
}

fn gptq() -> Value {
    json!({"quant_method": "gptq", "bits": 4, "group_size": 32})
}

/// The tiny repository with one matrix by GPTQ, its parts changed: codes, zeros, scales, groups.
fn packed(config: Value, change: impl FnOnce(&mut Vec<Stored>)) -> Files {
    let mut tensors = tiny_tensors();
    tensors.retain(|(name, ..)| !name.ends_with("q_proj.weight"));
    let part = |name: &str, dtype, shape: &[u64], size: u64| {
        let bytes = vec![0; (size * shape.iter().product::<u64>()) as usize];
        (
            format!("model.layers.0.self_attn.q_proj.{name}"),
            dtype,
            shape.to_vec(),
            bytes,
        )
    };
    let mut parts = vec![
        part("qweight", "I32", &[8, 64], 4),
        part("qzeros", "I32", &[2, 8], 4),
        part("scales", "F16", &[2, 64], 2),
        part("g_idx", "I32", &[64], 4),
    ];
    change(&mut parts);
    tensors.extend(parts);
    Files::tiny()
        .with(WEIGHTS, safetensors(&tensors))
        .set("quantization_config", config)
}

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

/// What is odd but clear enough is said, and the model opens.
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

/// Whether a key that is not known would change an answer can't be told: the model opens, and the
/// key is named.
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

/// What published repositories say is known.
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

/// What can't be used says so where it is asked for, with its own file and key.
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
        .faults()
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

/// What the tokenizer can do without is left out, and said.
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

fn in_folder(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in &files.files {
        std::fs::write(folder.path().join(name), content).expect("a written file");
    }
    folder
}

#[test]
fn folders_open_by_any_of_their_files() {
    let folder = in_folder(&Files::sharded());
    for name in ["", "config.json", INDEX, "a.safetensors"] {
        Model::open(&folder.path().join(name)).expect("it opens");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let said = Model::open(empty.path()).expect_err("no model").to_string();
    assert!(said.contains("without config.json"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    // Weights on another disk, and a folder that is a link itself.
    let outside = in_folder(&Files::tiny());
    let folder = in_folder(&Files::tiny().without(WEIGHTS));
    symlink(outside.path().join(WEIGHTS), folder.path().join(WEIGHTS)).expect("a link");
    Model::open(folder.path()).expect("linked weights open");
    let link = outside.path().join("link");
    symlink(folder.path(), &link).expect("a link");
    Model::open(&link).expect("a linked folder opens");

    // What an index names is a file of the folder, though it may be a link.
    let shards = in_folder(&Files::sharded().without("b.safetensors"));
    let elsewhere = in_folder(&Files::sharded());
    symlink(
        elsewhere.path().join("b.safetensors"),
        shards.path().join("b.safetensors"),
    )
    .expect("a link");
    Model::open(shards.path()).expect("a linked shard opens");

    // Links to themselves and to nowhere.
    for target in [WEIGHTS, "nowhere"] {
        let bad = in_folder(&Files::tiny().without(WEIGHTS));
        symlink(target, bad.path().join(WEIGHTS)).expect("a link");
        let said = Model::open(bad.path()).expect_err("no weights").to_string();
        assert!(
            said.contains("it leads nowhere") && said.contains(target),
            "{said}"
        );
    }

    // The hub's cache: a snapshot's files are links to blobs beside it.
    let cache = tempfile::tempdir().expect("a folder");
    let (blobs, snapshot) = (
        cache.path().join("blobs"),
        cache.path().join("snapshots/abc"),
    );
    std::fs::create_dir_all(&blobs)
        .and_then(|()| std::fs::create_dir_all(&snapshot))
        .expect("folders");
    for (number, (name, content)) in Files::tiny().files.iter().enumerate() {
        std::fs::write(blobs.join(number.to_string()), content).expect("a blob");
        symlink(format!("../../blobs/{number}"), snapshot.join(name)).expect("a link");
    }
    Model::open(&snapshot).expect("a snapshot opens");
}

/// Folders that are no model are called what they are, with what to give instead.
#[test]
fn folders_are_called_what_they_are() {
    let folder = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("a written file");
        }
        folder
    };
    let says = |path: &std::path::Path, words: &str| {
        let said = Model::open(path).expect_err(words).to_string();
        assert!(said.contains(words), "{said}");
    };
    let peft = folder(&[
        (
            "adapter_config.json",
            r#"{"base_model_name_or_path": "some/Llama"}"#,
        ),
        ("adapter_model.safetensors", "x"),
    ]);
    says(peft.path(), "its base model some/Llama");
    says(
        &peft.path().join("adapter_model.safetensors"),
        "an adapter of PEFT",
    );
    says(
        &peft.path().join("adapter_config.json"),
        "an adapter of PEFT",
    );
    says(
        folder(&[("params.json", "{}"), ("consolidated.00.pth", "x")]).path(),
        "its maker's own format",
    );
    says(
        folder(&[("m.Q4_0.gguf", "x")]).path(),
        "give one of its files: m.Q4_0.gguf",
    );
    let with = |name: &str| {
        let folder = in_folder(&Files::tiny().without(WEIGHTS));
        std::fs::write(folder.path().join(name), "x").expect("a written file");
        folder
    };
    says(
        with("pytorch_model.bin").path(),
        "weights of PyTorch (pytorch_model.bin)",
    );
    says(
        with("m.Q4_0.gguf").path(),
        "give one of its files: m.Q4_0.gguf",
    );
    says(
        with("consolidated.safetensors").path(),
        "Mistral's own layout",
    );
    says(
        &folder(&[("m.gguf.part1of2", "x")])
            .path()
            .join("m.gguf.part1of2"),
        "join all pieces",
    );
}
