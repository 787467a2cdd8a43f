//! Repositories that contradict themselves, one lie each.
//!
//! Longer than 400 lines: it is one table.

use godwit_tests::repository::{Files, Stored, safetensors, tiny_tensors, with_header};
use serde_json::{Value, json};

use super::{INDEX, WEIGHTS};

const SECOND: &str = "model.embed_tokens.weight";

/// The header of the tiny repository's weight file, changed; the data stays.
pub fn header(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = safetensors(&tiny_tensors());
    let end = 8 + u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let mut json: Value = serde_json::from_slice(&file[8..end]).expect("valid JSON");
    change(&mut json);
    [with_header(&json.to_string()), file[end..].to_vec()].concat()
}

/// One tensor's entry set to something else.
pub fn entry(key: &str, value: Value) -> Vec<u8> {
    header(|json| json[SECOND][key] = value)
}

pub fn cases() -> Vec<(&'static str, Files)> {
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
pub fn with_tensor(name: &str, len: u64) -> Vec<Stored> {
    let mut tensors = tiny_tensors();
    tensors.push((name.into(), "F32", vec![len], vec![0; 4 * len as usize]));
    tensors
}

pub fn gptq() -> Value {
    json!({"quant_method": "gptq", "bits": 4, "group_size": 32})
}

/// The tiny repository with one matrix by GPTQ, its parts changed: codes, zeros, scales, groups.
pub fn packed(config: Value, change: impl FnOnce(&mut Vec<Stored>)) -> Files {
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
