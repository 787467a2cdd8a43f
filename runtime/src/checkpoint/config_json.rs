//! `config.json`, `generation_config.json` and `tokenizer_config.json` of a Hugging Face
//! repository, in GGUF's keys.

use std::f64::consts::TAU;

use serde_json::{Map, Value as Json};

use super::config_keys::{self, Meaning};
use super::neutral::Neutral;
use super::packed::{Layout, Packing};
use crate::chat::TEMPLATE;
use crate::error::ConfigError;
use crate::gguf::{FormatCause, FormatError, Metadata, Value};
use crate::json::{object_within, other_than_object};

/// The names of GGUF's counts in `config.json`.
pub(super) const COUNTS: [(&str, &str); 8] = [
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

/// The classes that are Llama with its output head.
const CLASSES: [&str; 2] = ["LlamaForCausalLM", "LLaMAForCausalLM"];

/// The names of GGUF's sampling keys in `generation_config.json`.
const SAMPLING: [(&str, &str); 5] = [
    ("temperature", "general.sampling.temp"),
    ("top_k", "general.sampling.top_k"),
    ("top_p", "general.sampling.top_p"),
    ("min_p", "general.sampling.min_p"),
    ("repetition_penalty", "general.sampling.penalty_repeat"),
];

/// The names of GGUF's numbers in `rope_scaling`.
pub(super) const STRETCHES: [(&str, &str); 5] = [
    ("factor", "llama.rope.scaling.factor"),
    ("low_freq_factor", "llama.rope.scaling.low_freq_factor"),
    ("high_freq_factor", "llama.rope.scaling.high_freq_factor"),
    ("beta_fast", "llama.rope.scaling.yarn_beta_fast"),
    ("beta_slow", "llama.rope.scaling.yarn_beta_slow"),
];

/// The memory limit of a file's values. Lists of layers and modules take a few megabytes.
const MOST_VALUES: usize = 24 << 20;

/// The key that the tokenizer reads by itself: by far the longest part of a
/// `tokenizer_config.json`.
const ADDED_TOKENS: &str = "added_tokens_decoder";

/// One JSON file of a repository.
pub(super) struct JsonFile {
    name: String,
    /// The prefix of the keys of a nested object, for messages.
    prefix: String,
    root: Map<String, Json>,
}

impl JsonFile {
    /// Parses a file that must hold an object.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let file = |cause| FormatError::file(name, FormatCause::Json(cause));
        match object_within(bytes, MOST_VALUES, &[ADDED_TOKENS]) {
            Ok(root) => Ok(Self {
                name: name.into(),
                prefix: String::new(),
                root,
            }),
            Err(e) => Err(file(json_cause(bytes, &e))),
        }
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A key as messages name it: with those of the objects that it is in.
    fn own(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The object under a key; nothing where the key is missing or null.
    pub(super) fn object(&self, key: &str) -> Result<Option<JsonFile>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(root)) => {
                let (name, prefix) = (self.name.clone(), format!("{}.", self.own(key)));
                Ok(Some(JsonFile {
                    name,
                    prefix,
                    root: root.clone(),
                }))
            }
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
            Json::String(text) if text.len() <= 40 => {
                format!("a string (`{}`)", text.escape_debug())
            }
            other => kind(other).into(),
        };
        FormatError::key(
            self.name.as_str(),
            self.own(key),
            FormatCause::ValueKind { expected, found },
        )
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => convert(value)
                .map(Some)
                .ok_or_else(|| self.wrong(key, expected, value)),
        }
    }

    fn u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        // Some tools write counts as floats.
        let whole = |number: f64| {
            (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
        };
        self.get(key, "an integer, 0 or more", |value| {
            value.as_u64().or_else(|| whole(value.as_f64()?))
        })
    }

    fn f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.get(key, "a number", Json::as_f64)
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, "a bool", Json::as_bool)
    }

    fn string(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A token's text, alone or with its properties.
    pub(super) fn token(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a token", |value| {
            value
                .as_str()
                .or(value["content"].as_str())
                .map(str::to_owned)
        })
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

/// The error of a file that should hold an object.
pub(super) fn json_cause(bytes: &[u8], error: &serde_json::Error) -> String {
    match other_than_object(bytes) {
        Some(kind) => format!("it holds {kind}, not an object"),
        None => error.to_string(),
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

/// The settings in a repository's configuration files.
pub(super) struct Settings {
    pub metadata: Metadata,
    /// Whether the embedding is the output head too.
    pub tied: bool,
    /// How matrices are quantised in the files, if they are.
    pub packing: Option<Packing>,
    /// Features that no code computes.
    pub obstacles: Vec<ConfigError>,
    /// Keys of `config.json` that are not known, with those of the objects that they are in.
    pub unknown: Vec<String>,
    /// Contradictions in the files, and how each was resolved.
    pub notes: Vec<String>,
}

impl Settings {
    /// Reads `config.json`. Values that can't be used are errors for those who ask for them.
    pub(super) fn read(config: &JsonFile) -> Result<Self, ConfigError> {
        let mut all = Self {
            metadata: Metadata::new(config.name.as_str()),
            tied: config.bool("tie_word_embeddings")?.unwrap_or(false),
            packing: None,
            obstacles: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
        };
        all.metadata
            .insert("general.architecture".into(), Value::String("llama".into()));
        match config.string("model_type")?.as_deref() {
            Some("llama") => {}
            Some(other) => {
                let found = other.escape_debug().to_string();
                all.obstacles.push(ConfigError::Architecture {
                    file: config.name.clone(),
                    found,
                });
            }
            None => {
                return Err(ConfigError::Missing {
                    file: config.name.clone(),
                    key: "model_type".into(),
                });
            }
        }
        all.refuse_variations(config);
        match packing(config) {
            Ok(packing) => all.packing = packing,
            Err(error) => all.obstacles.push(error),
        }
        for (key, ours) in COUNTS {
            all.take(
                ours,
                config,
                key,
                config.u64(key).map(|value| value.map(Value::U64)),
            );
        }
        all.take(
            EPSILON,
            config,
            "rms_norm_eps",
            config
                .f64("rms_norm_eps")
                .map(|value| value.map(Value::F64)),
        );
        if config.bool("use_sliding_window").ok().flatten() != Some(false) {
            let key = "sliding_window";
            all.take(
                "llama.attention.sliding_window",
                config,
                key,
                config.u64(key).map(|value| value.map(Value::U64)),
            );
        }
        all.rope(config);
        Ok(all)
    }

    /// Takes the value of one of a file's keys, or keeps the error for the time that it is needed.
    fn take(
        &mut self,
        ours: &str,
        file: &JsonFile,
        theirs: &str,
        value: Result<Option<Value>, FormatError>,
    ) {
        self.metadata.set_origin(ours, &file.name, theirs);
        match value {
            // The first of two stays.
            Ok(Some(value)) => _ = self.metadata.insert(ours.into(), value),
            Ok(None) => {}
            Err(error) => self.metadata.set_unusable(ours, error),
        }
    }

    fn insert(&mut self, ours: &str, file: &JsonFile, theirs: &str, value: Value) {
        self.take(ours, file, theirs, Ok(Some(value)));
    }

    /// Refuses keys that change the forward pass in ways Godwit has no code for, and keeps those
    /// that are not known.
    fn refuse_variations(&mut self, config: &JsonFile) {
        let refuse = |key: &str, value: String, known: String| ConfigError::Unsupported {
            file: config.name.clone(),
            key: key.into(),
            value,
            known,
        };
        let class = |value: &Json| value.as_str().is_some_and(|name| CLASSES.contains(&name));
        if let Some(classes) = config
            .root
            .get("architectures")
            .filter(|classes| !is_off(classes))
            && !classes
                .as_array()
                .is_some_and(|classes| classes.iter().any(class))
        {
            self.obstacles
                .push(refuse("architectures", shown(classes), CLASSES[0].into()));
        }
        let number = |key: &str| config.f64(key).ok().flatten();
        let head_dim = number("head_dim")
            .or_else(|| Some((number("hidden_size")? / number("num_attention_heads")?).floor()))
            .filter(|dim| dim.is_finite());
        for (key, value) in config.entries() {
            match config_keys::of_config(key, value, head_dim) {
                Meaning::Harmless => {}
                Meaning::Variation(known) => self.obstacles.push(refuse(key, shown(value), known)),
                Meaning::Unknown => self.unknown.push(key.into()),
            }
        }
        // Gemma's way to write the scale of attention.
        if let Some(scalar) =
            number("query_pre_attn_scalar").filter(|&scalar| Some(scalar) != head_dim)
        {
            self.obstacles.push(refuse(
                "query_pre_attn_scalar",
                scalar.to_string(),
                "the head size".into(),
            ));
        }
        let types = config
            .root
            .get("layer_types")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        if let Some(other) = types
            .into_iter()
            .find(|kind| kind.as_str() != Some("full_attention"))
        {
            self.obstacles
                .push(refuse("layer_types", shown(other), "full_attention".into()));
        }
        if config.root.get("auto_map").is_some_and(|map| !is_off(map)) {
            self.notes
                .push("auto_map names code of the repository's own, which is not run".into());
        }
    }

    /// The rotary embedding: `rope_theta` and `rope_scaling`, or `rope_parameters` in files of
    /// transformers 5.
    fn rope(&mut self, config: &JsonFile) {
        let newer = config.object("rope_parameters");
        let (older, newer) = match (config.object("rope_scaling"), newer) {
            (Ok(older), Ok(newer)) => (older, newer),
            (Err(error), _) | (_, Err(error)) => {
                self.metadata.set_unusable("llama.rope.scaling.type", error);
                (None, None)
            }
        };
        let scaling = match (older, newer) {
            (Some(older), Some(newer)) if older.root != newer.root => {
                self.notes
                    .push("rope_scaling and rope_parameters differ: rope_parameters counts".into());
                Some(newer)
            }
            (older, newer) => newer.or(older),
        };
        let outer = config.f64("rope_theta");
        let inner = scaling.as_ref().map_or(Ok(None), |s| s.f64("rope_theta"));
        let theta = match (outer, inner) {
            (Ok(Some(outer)), Ok(Some(inner))) if outer != inner => {
                self.notes.push(format!(
                    "rope_theta is {outer}, but {inner} in rope_parameters: {inner} counts"
                ));
                Ok(Some(inner))
            }
            (outer, Ok(None)) => outer,
            (_, inner) => inner,
        };
        self.take(
            "llama.rope.freq_base",
            config,
            "rope_theta",
            theta.clone().map(|theta| theta.map(Value::F64)),
        );
        let theta = theta.ok().flatten();
        let window = config.u64("max_position_embeddings").ok().flatten();
        if let (Some(theta), Some(window)) = (theta, window)
            && theta >= 1e7
            && window < 8192
        {
            // The slowest wave of 128 turns once in so many tokens.
            let reach = TAU * theta.powf(126.0 / 128.0);
            self.notes.push(format!(
                "max_position_embeddings is {window}, though waves of rope_theta {theta} are up \
                 to {reach:.1e} tokens \
                 long: the window may be far larger; set it with --window"
            ));
        }
        let Some(scaling) = scaling else { return };
        for (key, value) in scaling.entries() {
            let own = scaling.own(key);
            match config_keys::of_rope(key, value) {
                Meaning::Harmless => {}
                Meaning::Variation(known) => {
                    let (file, value) = (config.name.clone(), shown(value));
                    self.obstacles.push(ConfigError::Unsupported {
                        file,
                        key: own,
                        value,
                        known,
                    });
                }
                Meaning::Unknown => self.unknown.push(own),
            }
        }
        const TYPE: &str = "llama.rope.scaling.type";
        let (kind, older) = match (scaling.string("rope_type"), scaling.string("type")) {
            (Ok(kind), Ok(older)) => (kind, older),
            (Err(error), _) | (_, Err(error)) => {
                self.metadata.set_unusable(TYPE, error);
                return;
            }
        };
        if let (Some(kind), Some(older)) = (&kind, &older)
            && kind != older
        {
            self.notes.push(format!(
                "rope_type is `{kind}`, but type is `{older}`: rope_type counts"
            ));
        }
        let Some(kind) = kind.or(older) else {
            // transformers 5 writes the theta alone.
            let known = ["rope_theta", "partial_rotary_factor"];
            if !scaling.root.keys().all(|key| known.contains(&key.as_str())) {
                let error = FormatError::key(
                    config.name.as_str(),
                    scaling.own("rope_type"),
                    FormatCause::KeyMissing,
                );
                self.metadata.set_unusable(TYPE, error);
            }
            return;
        };
        let kind = if kind == "default" {
            "none".into()
        } else {
            kind
        };
        self.insert(
            TYPE,
            config,
            &scaling.own("rope_type"),
            Value::String(kind.clone()),
        );
        for (key, ours) in STRETCHES {
            let value = scaling.f64(key).map(|value| value.map(Value::F64));
            self.take(ours, config, &scaling.own(key), value);
        }
        let original = scaling.u64("original_max_position_embeddings");
        let (ours, theirs) = (
            "llama.rope.scaling.original_context_length",
            scaling.own("original_max_position_embeddings"),
        );
        self.take(
            ours,
            config,
            &theirs,
            original.clone().map(|value| value.map(Value::U64)),
        );
        let original = original.ok().flatten();
        let mut factor = scaling.f64("factor").ok().flatten();
        if let (None, Some(original), Some(window), "yarn") =
            (factor, original, window, kind.as_str())
            && original > 0
        {
            let ratio = window as f64 / original as f64;
            self.insert(
                "llama.rope.scaling.factor",
                config,
                &scaling.own("factor"),
                Value::F64(ratio),
            );
            factor = Some(ratio);
        }
        if let (Some(original), Some(window)) = (original, window)
            && original > window
        {
            self.notes.push(format!(
                "original_max_position_embeddings is {original}, more than the window of {window} \
                 that it is stretched to"
            ));
        }
        if kind == "yarn" {
            self.yarn(&scaling, factor.unwrap_or(1.0));
        }
    }

    /// YaRN's length of rotated vectors: GGUF's factor multiplies `0.1 ln(factor) + 1`,
    /// transformers' replaces it.
    fn yarn(&mut self, scaling: &JsonFile, factor: f64) {
        const LENGTH: &str = "llama.rope.scaling.attn_factor";
        let own = |scale: f64| {
            if factor > 1.0 {
                0.1 * scale * factor.ln() + 1.0
            } else {
                1.0
            }
        };
        let numbers = ["attention_factor", "mscale", "mscale_all_dim"].map(|key| scaling.f64(key));
        let given = match numbers {
            [Ok(Some(length)), ..] => Ok(Some(length)),
            [Ok(None), Ok(Some(one)), Ok(Some(all))] if one != 0.0 && all != 0.0 => {
                Ok(Some(own(one) / own(all)))
            }
            [Err(error), ..] | [_, Err(error), _] | [_, _, Err(error)] => Err(error),
            _ => Ok(None),
        };
        let length = given.map(|given| given.map(|length| Value::F64(length / own(1.0))));
        self.take(LENGTH, scaling, &scaling.own("attention_factor"), length);
        if scaling
            .root
            .get("truncate")
            .is_some_and(|value| changes(value, &Neutral::On, None))
        {
            let (file, key) = (scaling.name.clone(), scaling.own("truncate"));
            self.obstacles.push(ConfigError::Unsupported {
                file,
                key,
                value: "false".into(),
                known: "true".into(),
            });
        }
    }

    /// Reads `generation_config.json`: how tokens are chosen.
    pub(super) fn generation(&mut self, file: &JsonFile) {
        const TEMPERATURE: &str = "general.sampling.temp";
        let ignored = file
            .root
            .iter()
            .filter(|(key, value)| config_keys::changes_choice(key, value));
        let ignored: Vec<&str> = ignored.map(|(key, _)| key.as_str()).collect();
        if !ignored.is_empty() {
            self.notes.push(format!(
                "{}: not supported, and ignored when tokens are chosen: {}",
                file.name,
                ignored.join(", ")
            ));
        }
        match file.bool("do_sample") {
            Ok(Some(false)) => self.insert(TEMPERATURE, file, "do_sample", Value::F64(0.0)),
            Ok(_) => {}
            Err(error) => {
                self.metadata
                    .set_origin(TEMPERATURE, &file.name, "do_sample");
                self.metadata.set_unusable(TEMPERATURE, error);
                return self.sampling(file, &SAMPLING[1..]);
            }
        }
        self.sampling(file, &SAMPLING);
    }

    fn sampling(&mut self, file: &JsonFile, keys: &[(&str, &str)]) {
        for (key, ours) in keys {
            let whole = *key == "top_k";
            let number = file.get(key, "a number", |value| {
                match (value.as_u64(), value.as_f64()?) {
                    (Some(count), _) if whole => Some(Value::U64(count)),
                    // -1 is how other tools write that all tokens stay.
                    (None, -1.0) if whole => Some(Value::U64(0)),
                    (_, number) => Some(Value::F64(number)),
                }
            });
            self.take(ours, file, key, number);
        }
    }

    /// The chat template of a `tokenizer_config.json` or a `chat_template.json`: one, or the one
    /// called `default` of several.
    pub(super) fn chat_template(&mut self, file: &JsonFile) {
        const KEY: &str = "chat_template";
        let of_list = |list: &[Json]| {
            let named = list.iter().find(|entry| entry["name"] == "default");
            named
                .and_then(|entry| entry["template"].as_str())
                .map(str::to_owned)
        };
        let template = match file.root.get(KEY) {
            Some(Json::Array(list)) => of_list(list).map(Some).ok_or_else(|| {
                let names: Vec<&str> = list
                    .iter()
                    .filter_map(|entry| entry["name"].as_str())
                    .collect();
                let names = names.join(", ").escape_debug().to_string();
                FormatError::key(
                    file.name.as_str(),
                    KEY,
                    FormatCause::NoDefaultTemplate { names },
                )
            }),
            _ => file.string(KEY),
        };
        self.take(
            TEMPLATE,
            file,
            KEY,
            template.map(|template| template.map(Value::String)),
        );
    }
}

/// Whether a value is off: null, false, 0, or empty.
fn is_off(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(on) => !on,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(entries) => entries.is_empty(),
    }
}

/// Whether a value changes the forward pass.
pub(super) fn changes(value: &Json, neutral: &Neutral, head_dim: Option<f64>) -> bool {
    let number = match value {
        Json::Null => return false,
        Json::Bool(on) => Some(f64::from(u8::from(*on))),
        other => other.as_f64(),
    };
    let admitted = match (neutral, number, value.as_str()) {
        // A flag is no factor.
        (Neutral::Numbers(_), ..) if value.is_boolean() => is_off(value),
        (Neutral::Words(words), _, Some(word)) => words.contains(&word),
        (Neutral::Off, None, _) => is_off(value),
        (_, Some(number), _) => neutral.admits(number, head_dim),
        _ => false,
    };
    !admitted
}

/// A value for a message.
fn shown(value: &Json) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        Json::String(text) => format!("`{}`", text.escape_debug()),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The contents of `quantization_config`: 4 bits, by GPTQ or AWQ.
fn packing(config: &JsonFile) -> Result<Option<Packing>, ConfigError> {
    let quantised = config.object("quantization_config")?;
    if let Some(mlx) = config.root.get("quantization").filter(|mlx| !is_off(mlx)) {
        let what = format!(
            "a repository that was quantised by MLX (quantization is {})",
            shown(mlx)
        );
        let instead = "give the original repository, or a GGUF file".into();
        return Err(ConfigError::Kind {
            file: config.name.clone(),
            what,
            instead,
        });
    }
    let Some(quantised) = quantised else {
        return Ok(None);
    };
    let refuse = |key: &str, value: String, known: &str| {
        let (file, key, known) = (
            config.name.clone(),
            format!("quantization_config.{key}"),
            known.into(),
        );
        Err(ConfigError::Unsupported {
            file,
            key,
            value,
            known,
        })
    };
    let text = |key: &str| {
        Ok::<_, FormatError>(
            quantised
                .string(key)?
                .unwrap_or_default()
                .to_ascii_lowercase(),
        )
    };
    let (method, format, version) = (
        text("quant_method")?,
        text("checkpoint_format")?,
        text("version")?,
    );
    let quoted = |text: &str| format!("`{}`", text.escape_debug());
    let layout = match (method.as_str(), format.as_str(), version.as_str()) {
        ("gptq", "" | "gptq", _) => Layout::Gptq {
            zeros_less_one: true,
        },
        ("gptq", "gptq_v2", _) => Layout::Gptq {
            zeros_less_one: false,
        },
        ("gptq", other, _) => return refuse("checkpoint_format", quoted(other), "gptq, gptq_v2"),
        ("awq", _, "" | "gemm") => Layout::Awq,
        ("awq", _, other) => return refuse("version", quoted(other), "gemm"),
        ("", ..) if !quantised.root.contains_key("quant_method") => {
            let whole = shown(&Json::Object(quantised.root.clone()));
            let (file, key) = (config.name.clone(), "quantization_config".into());
            let known =
                "gptq, awq, by `quant_method`; or use the original repository, or a GGUF file"
                    .into();
            return Err(ConfigError::Unsupported {
                file,
                key,
                value: whole,
                known,
            });
        }
        (other, ..) => {
            return refuse(
                "quant_method",
                quoted(other),
                "gptq, awq; or use the original repository, or a GGUF file",
            );
        }
    };
    if let Some(bits) = quantised
        .u64("bits")?
        .or(quantised.u64("w_bit")?)
        .filter(|&bits| bits != 4)
    {
        return refuse("bits", bits.to_string(), "4");
    }
    let group = quantised
        .get("group_size", "an integer", Json::as_i64)?
        .unwrap_or(128);
    match u64::try_from(group) {
        Ok(group) if group > 0 && group.is_multiple_of(32) && group <= 1 << 20 => {
            Ok(Some(Packing {
                layout,
                group: Some(group),
            }))
        }
        _ if group == -1 => Ok(Some(Packing {
            layout,
            group: None,
        })),
        _ => refuse("group_size", group.to_string(), "a multiple of 32, or -1"),
    }
}
