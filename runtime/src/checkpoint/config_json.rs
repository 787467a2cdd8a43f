//! `config.json`, `generation_config.json` and `tokenizer_config.json` of a Hugging Face repository, in GGUF's keys.

use std::f64::consts::TAU;

use super::packed::{Layout, Packing};
use serde_json::{Map, Value as Json};

use crate::chat::TEMPLATE;
use crate::format::{Fault, FormatError, Metadata, Value};
use crate::model::ConfigError;

/// What `config.json` calls GGUF's counts.
const COUNTS: [(&str, &str); 8] = [
    ("num_hidden_layers", "llama.block_count"),
    ("hidden_size", "llama.embedding_length"),
    ("intermediate_size", "llama.feed_forward_length"),
    ("num_attention_heads", "llama.attention.head_count"),
    ("num_key_value_heads", "llama.attention.head_count_kv"),
    ("head_dim", "llama.attention.key_length"),
    ("vocab_size", "llama.vocab_size"),
    ("max_position_embeddings", "llama.context_length"),
];

const EPSILON: &str = "llama.attention.layer_norm_rms_epsilon";

/// What `generation_config.json` calls GGUF's sampling keys.
const SAMPLING: [(&str, &str); 4] = [
    ("temperature", "general.sampling.temp"),
    ("top_p", "general.sampling.top_p"),
    ("min_p", "general.sampling.min_p"),
    ("repetition_penalty", "general.sampling.penalty_repeat"),
];

/// What `rope_scaling` calls GGUF's numbers.
const STRETCHES: [(&str, &str); 5] = [
    ("factor", "llama.rope.scaling.factor"),
    ("low_freq_factor", "llama.rope.scaling.low_freq_factor"),
    ("high_freq_factor", "llama.rope.scaling.high_freq_factor"),
    ("beta_fast", "llama.rope.scaling.yarn_beta_fast"),
    ("beta_slow", "llama.rope.scaling.yarn_beta_slow"),
];

/// One JSON file of a repository.
pub(super) struct JsonFile {
    name: String,
    root: Map<String, Json>,
}

impl JsonFile {
    /// Parses a file that must hold an object.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let file = |fault| FormatError::file(name, Fault::Json(fault));
        match serde_json::from_slice(bytes) {
            Ok(Json::Object(root)) => Ok(Self { name: name.into(), root }),
            Ok(other) => Err(file(format!("it holds {}, not an object", kind(&other)))),
            Err(e) => Err(file(e.to_string())),
        }
    }

    /// The object under a key; nothing where the key is missing or null.
    pub(super) fn object(&self, key: &str) -> Result<Option<JsonFile>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(root)) => Ok(Some(JsonFile { name: self.name.clone(), root: root.clone() })),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    /// All keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.root.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn wrong(&self, key: &str, expected: &'static str, found: &Json) -> FormatError {
        let found = match found {
            Json::Number(n) => format!("a number ({n})"),
            other => kind(other).into(),
        };
        FormatError::key(self.name.as_str(), key, Fault::ValueKind { expected, found })
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| self.wrong(key, expected, value)),
        }
    }

    fn u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.get(key, "an integer, 0 or more", Json::as_u64)
    }

    fn f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.get(key, "a number", Json::as_f64)
    }

    fn bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, "a bool", Json::as_bool)
    }

    fn string(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A token's text, alone or with its properties.
    pub(super) fn token(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a token", |value| value.as_str().or(value["content"].as_str()).map(str::to_owned))
    }

    /// One token id or several.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, FormatError> {
        // No id is as large as what stands for numbers out of range: no token has it.
        let id = |value: &Json| match (value.as_u64(), value.as_i64()) {
            (Some(id), _) => Some(u32::try_from(id).unwrap_or(u32::MAX)),
            (None, negative) => negative.map(|_| u32::MAX),
        };
        let ids = self.get(key, "a token id or a list of them", |value| match value {
            Json::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })?;
        Ok(ids.unwrap_or_default())
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// What the configuration files of a repository say.
pub(super) struct Settings {
    pub metadata: Metadata,
    /// Whether the embedding is the output head too.
    pub tied: bool,
    /// How matrices are quantised in the files, if they are.
    pub packing: Option<Packing>,
    /// Where the files contradict themselves, and what was made of it.
    pub notes: Vec<String>,
}

impl Settings {
    /// Reads `config.json`.
    pub(super) fn read(config: &JsonFile) -> Result<Self, ConfigError> {
        let mut all = Self {
            metadata: Metadata::new(config.name.as_str()),
            tied: config.bool("tie_word_embeddings")?.unwrap_or(false),
            packing: None,
            notes: Vec::new(),
        };
        match config.string("model_type")?.as_deref() {
            Some("llama") => {}
            Some(other) => {
                let found = other.escape_debug().to_string();
                return Err(ConfigError::Architecture { file: config.name.clone(), found });
            }
            None => return Err(ConfigError::Missing { file: config.name.clone(), key: "model_type".into() }),
        }
        all.refuse_variations(config)?;
        all.packing = packing(config)?;
        all.metadata.insert("general.architecture".into(), Value::String("llama".into()));
        for (key, ours) in COUNTS {
            all.metadata.set_origin(ours, key);
            if let Some(value) = config.u64(key)? {
                all.insert(ours, key, Value::U64(value));
            }
        }
        all.metadata.set_origin(EPSILON, "rms_norm_eps");
        if let Some(eps) = config.f64("rms_norm_eps")? {
            all.insert(EPSILON, "rms_norm_eps", Value::F64(eps));
        }
        all.rope(config)?;
        Ok(all)
    }

    fn insert(&mut self, ours: &str, theirs: &str, value: Value) {
        self.metadata.set_origin(ours, theirs);
        // The first of two stays.
        self.metadata.insert(ours.into(), value);
    }

    /// Keys that change the forward pass in ways Godwit has no code for.
    fn refuse_variations(&self, config: &JsonFile) -> Result<(), ConfigError> {
        let refuse = |key: &str, value: String, known: &str| {
            let (file, key, known) = (config.name.clone(), key.into(), known.into());
            Err(ConfigError::Unsupported { file, key, value, known })
        };
        for key in ["attention_bias", "mlp_bias"] {
            if config.bool(key)? == Some(true) {
                return refuse(key, "true".into(), "false");
            }
        }
        if let Some(act) = config.string("hidden_act")?.filter(|act| !matches!(act.as_str(), "silu" | "swish")) {
            return refuse("hidden_act", format!("`{}`", act.escape_debug()), "silu");
        }
        if let Some(part) = config.f64("partial_rotary_factor")?.filter(|&part| part != 1.0) {
            return refuse("partial_rotary_factor", part.to_string(), "1");
        }
        Ok(())
    }

    /// The rotary embedding: `rope_theta` and `rope_scaling`, or `rope_parameters` in files of transformers 5.
    fn rope(&mut self, config: &JsonFile) -> Result<(), ConfigError> {
        let newer = config.object("rope_parameters")?;
        let scaling = match (config.object("rope_scaling")?, newer) {
            (Some(older), Some(newer)) if older.root != newer.root => {
                self.notes.push("rope_scaling and rope_parameters differ: rope_parameters counts".into());
                Some(newer)
            }
            (older, newer) => newer.or(older),
        };
        let outer = config.f64("rope_theta")?;
        let inner = scaling.as_ref().map_or(Ok(None), |s| s.f64("rope_theta"))?;
        let theta = match (outer, inner) {
            (Some(outer), Some(inner)) if outer != inner => {
                self.notes.push(format!("rope_theta is {outer}, but {inner} in rope_parameters: {inner} counts"));
                Some(inner)
            }
            (outer, inner) => inner.or(outer),
        };
        if let Some(theta) = theta {
            self.insert("llama.rope.freq_base", "rope_theta", Value::F64(theta));
        }
        let window = config.u64("max_position_embeddings")?;
        if let (Some(theta), Some(window)) = (theta, window)
            && theta >= 1e7
            && window < 8192
        {
            // The slowest wave of 128 turns once in so many tokens.
            let reach = TAU * theta.powf(126.0 / 128.0);
            self.notes.push(format!(
                "max_position_embeddings is {window}, though waves of rope_theta {theta} are up to {reach:.1e} tokens \
                 long: the window may be far larger; set it with --window"
            ));
        }
        let Some(scaling) = scaling else { return Ok(()) };
        let (kind, older) = (scaling.string("rope_type")?, scaling.string("type")?);
        if let (Some(kind), Some(older)) = (&kind, &older)
            && kind != older
        {
            self.notes.push(format!("rope_type is `{kind}`, but type is `{older}`: rope_type counts"));
        }
        let Some(kind) = kind.or(older) else {
            // transformers 5 writes the theta alone.
            return if scaling.root.keys().all(|key| key == "rope_theta") {
                Ok(())
            } else {
                Err(ConfigError::Missing { file: config.name.clone(), key: "rope_scaling.rope_type".into() })
            };
        };
        let kind = if kind == "default" { "none".into() } else { kind };
        self.insert("llama.rope.scaling.type", "rope_scaling.rope_type", Value::String(kind.clone()));
        for (key, ours) in STRETCHES {
            self.metadata.set_origin(ours, &format!("rope_scaling.{key}"));
            if let Some(value) = scaling.f64(key)? {
                self.insert(ours, &format!("rope_scaling.{key}"), Value::F64(value));
            }
        }
        let original = scaling.u64("original_max_position_embeddings")?;
        if let Some(original) = original {
            let theirs = "rope_scaling.original_max_position_embeddings";
            self.insert("llama.rope.scaling.original_context_length", theirs, Value::U64(original));
        }
        let mut factor = scaling.f64("factor")?;
        if let (None, Some(original), Some(window), "yarn") = (factor, original, window, kind.as_str())
            && original > 0
        {
            let ratio = window as f64 / original as f64;
            self.insert("llama.rope.scaling.factor", "rope_scaling.factor", Value::F64(ratio));
            factor = Some(ratio);
        }
        if let (Some(original), Some(window)) = (original, window)
            && original > window
        {
            self.notes.push(format!(
                "original_max_position_embeddings is {original}, more than the window of {window} that it is stretched to"
            ));
        }
        if kind == "yarn" {
            self.yarn(&scaling, factor.unwrap_or(1.0))?;
        }
        Ok(())
    }

    /// YaRN's length of rotated vectors: GGUF's factor multiplies `0.1 ln(factor) + 1`, transformers' replaces it.
    fn yarn(&mut self, scaling: &JsonFile, factor: f64) -> Result<(), ConfigError> {
        let own = |scale: f64| if factor > 1.0 { 0.1 * scale * factor.ln() + 1.0 } else { 1.0 };
        let given = match (scaling.f64("attention_factor")?, scaling.f64("mscale")?, scaling.f64("mscale_all_dim")?) {
            (Some(length), ..) => Some(length),
            (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => Some(own(one) / own(all)),
            _ => None,
        };
        if let Some(length) = given {
            let theirs = "rope_scaling.attention_factor";
            self.insert("llama.rope.scaling.attn_factor", theirs, Value::F64(length / own(1.0)));
        }
        if scaling.bool("truncate")? == Some(false) {
            let (file, key) = (scaling.name.clone(), "rope_scaling.truncate".into());
            return Err(ConfigError::Unsupported { file, key, value: "false".into(), known: "true".into() });
        }
        Ok(())
    }

    /// Reads `generation_config.json`: how tokens are chosen.
    pub(super) fn generation(&mut self, file: &JsonFile) -> Result<(), FormatError> {
        if file.bool("do_sample")? == Some(false) {
            self.insert("general.sampling.temp", "do_sample", Value::F64(0.0));
        }
        for (key, ours) in SAMPLING {
            if let Some(value) = file.f64(key)? {
                self.insert(ours, &format!("generation_config.json: {key}"), Value::F64(value));
            }
        }
        if let Some(top_k) = file.u64("top_k")? {
            self.insert("general.sampling.top_k", "top_k", Value::U64(top_k));
        }
        Ok(())
    }

    /// The chat template of a `tokenizer_config.json`: one, or the one called `default` of several.
    pub(super) fn chat_template(&mut self, file: &JsonFile) -> Result<(), FormatError> {
        let of_list = |list: &[Json]| {
            let named = |name: &str| list.iter().find(|entry| entry["name"] == name);
            named("default").or(list.first()).and_then(|entry| entry["template"].as_str()).map(str::to_owned)
        };
        let template = file.get("chat_template", "a template, or a list of them", |value| match value {
            Json::Array(list) => of_list(list),
            one => one.as_str().map(str::to_owned),
        })?;
        if let Some(template) = template {
            self.insert(TEMPLATE, "chat_template", Value::String(template));
        }
        Ok(())
    }
}

/// What `quantization_config` says: 4 bits, by GPTQ or AWQ.
fn packing(config: &JsonFile) -> Result<Option<Packing>, ConfigError> {
    let Some(quantised) = config.object("quantization_config")? else { return Ok(None) };
    let refuse = |key: &str, value: String, known: &str| {
        let (file, key, known) = (config.name.clone(), format!("quantization_config.{key}"), known.into());
        Err(ConfigError::Unsupported { file, key, value, known })
    };
    let text = |key: &str| Ok::<_, FormatError>(quantised.string(key)?.unwrap_or_default().to_ascii_lowercase());
    let (method, format, version) = (text("quant_method")?, text("checkpoint_format")?, text("version")?);
    let quoted = |text: &str| format!("`{}`", text.escape_debug());
    let layout = match (method.as_str(), format.as_str(), version.as_str()) {
        ("gptq", "" | "gptq", _) => Layout::Gptq { zeros_less_one: true },
        ("gptq", "gptq_v2", _) => Layout::Gptq { zeros_less_one: false },
        ("gptq", other, _) => return refuse("checkpoint_format", quoted(other), "gptq, gptq_v2"),
        ("awq", _, "" | "gemm") => Layout::Awq,
        ("awq", _, other) => return refuse("version", quoted(other), "gemm"),
        (other, ..) => {
            return refuse("quant_method", quoted(other), "gptq, awq; or use the original repository, or a GGUF file");
        }
    };
    if let Some(bits) = quantised.u64("bits")?.or(quantised.u64("w_bit")?).filter(|&bits| bits != 4) {
        return refuse("bits", bits.to_string(), "4");
    }
    let group = quantised.get("group_size", "an integer", Json::as_i64)?.unwrap_or(128);
    match u64::try_from(group) {
        Ok(group) if group > 0 && group.is_multiple_of(32) && group <= 1 << 20 => {
            Ok(Some(Packing { layout, group: Some(group) }))
        }
        _ if group == -1 => Ok(Some(Packing { layout, group: None })),
        _ => refuse("group_size", group.to_string(), "a multiple of 32, or -1"),
    }
}
