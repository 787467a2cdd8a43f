//! Keys of `config.json` that change the forward pass, and keys that nobody knows.

use serde_json::Value as Json;

use super::{Settings, is_off, shown};
use crate::checkpoint::config_keys::{self, Meaning};
use crate::checkpoint::json_file::JsonFile;
use crate::error::ConfigError;

/// The classes that are Llama with its output head.
const CLASSES: [&str; 2] = ["LlamaForCausalLM", "LLaMAForCausalLM"];

impl Settings {
    /// Refuses keys that change the forward pass in ways Godwit has no code for, and keeps those
    /// that are not known.
    pub(super) fn refuse_variations(&mut self, config: &JsonFile) {
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
}
