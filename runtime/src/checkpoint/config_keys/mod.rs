//! The keys of `config.json`: those that change the forward pass in ways Godwit has no code for,
//! those that change nothing, and those that are not known.
//!
//! Harmless keys are those that transformers (`LlamaConfig`, `PreTrainedConfig`,
//! `GenerationConfig`) and common tools write.

mod harmless;
mod variations;

use serde_json::Value as Json;

use super::config_json::{COUNTS, STRETCHES, changes};
use super::neutral::{Neutral, neutral_by_name};
use harmless::{HARMLESS, HARMLESS_PREFIXES, ROPE_HARMLESS};
use variations::{CHOICES, ROPE_VARIATIONS, VARIATIONS};

/// Whether a key of `generation_config.json` changes how tokens are chosen in a way that Godwit has
/// no code for.
pub(super) fn changes_choice(key: &str, value: &Json) -> bool {
    CHOICES
        .iter()
        .any(|(known, neutral)| *known == key && changes(value, neutral, None))
}
/// The meaning of a key of an object in `config.json`.
pub(super) enum Meaning {
    /// It changes nothing, or it is read elsewhere.
    Harmless,
    /// It changes the forward pass; these are the values that would not.
    Variation(String),
    /// Unknown: it may change answers.
    Unknown,
}

/// The meaning of a key at the top of `config.json`, for heads of this size.
pub(super) fn of_config(key: &str, value: &Json, head_dim: Option<f64>) -> Meaning {
    let harmless = HARMLESS.contains(&key)
        || COUNTS.iter().any(|(known, _)| *known == key)
        || HARMLESS_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix));
    meaning(&VARIATIONS, harmless, key, value, head_dim)
}

/// The meaning of a key of `rope_scaling` or `rope_parameters`.
pub(super) fn of_rope(key: &str, value: &Json) -> Meaning {
    let harmless = ROPE_HARMLESS.contains(&key) || STRETCHES.iter().any(|(known, _)| *known == key);
    meaning(&ROPE_VARIATIONS, harmless, key, value, None)
}

fn meaning(
    variations: &[(&str, Neutral)],
    harmless: bool,
    key: &str,
    value: &Json,
    head_dim: Option<f64>,
) -> Meaning {
    if harmless {
        return Meaning::Harmless;
    }
    let by_name;
    let neutral = match variations.iter().find(|(known, _)| *known == key) {
        Some((_, neutral)) => Some(neutral),
        None => {
            by_name = neutral_by_name(key);
            by_name.as_ref()
        }
    };
    match neutral {
        Some(neutral) if changes(value, neutral, head_dim) => Meaning::Variation(neutral.known()),
        None if !is_absent(value) => Meaning::Unknown,
        _ => Meaning::Harmless,
    }
}

/// Whether a value says nothing: null or empty. The `false` of an unknown key may turn off what all
/// Llama models do.
fn is_absent(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}
