//! Recognises the kind of a file, and variations of the architecture: those without code are
//! refused by key and value.

use crate::checkpoint::{Checkpoint, Neutral, UnknownKey, neutral_by_name};
use crate::error::ConfigError;
use crate::gguf::{FormatCause, Metadata, Value};

const TYPE: &str = "general.type";
const ARCHITECTURE: &str = "general.architecture";

/// GGUF's keys (after `llama.`) that change the forward pass.
const KEYS: [(&str, Neutral); 29] = [
    ("expert_count", Neutral::Off),
    ("expert_used_count", Neutral::Off),
    ("nextn_predict_layers", Neutral::Off),
    ("attention.scale", Neutral::AttentionScale),
    ("attention.clamp_kqv", Neutral::Off),
    ("attention.max_alibi_bias", Neutral::Off),
    ("attention.causal", Neutral::On),
    ("attention.q_lora_rank", Neutral::Off),
    ("attention.kv_lora_rank", Neutral::Off),
    ("attention.temperature_scale", Neutral::Off),
    ("attention.temperature_length", Neutral::Off),
    ("attention.output_scale", Neutral::Numbers(&[0.0, 1.0])),
    ("attention.value_scale", Neutral::Numbers(&[0.0, 1.0])),
    ("attention.chunk_size", Neutral::Off),
    ("attention.shared_kv_layers", Neutral::Off),
    ("attn_logit_softcapping", Neutral::Off),
    ("final_logit_softcapping", Neutral::Off),
    ("router_logit_softcapping", Neutral::Off),
    ("embedding_scale", Neutral::Numbers(&[0.0, 1.0])),
    ("residual_scale", Neutral::Numbers(&[0.0, 1.0])),
    ("logit_scale", Neutral::Numbers(&[0.0, 1.0])),
    ("use_parallel_residual", Neutral::Off),
    ("no_rope_layer_interval", Neutral::Off),
    ("rope.freq_base_swa", Neutral::Off),
    ("rope.dimension_sections", Neutral::Off),
    ("rope.scaling.yarn_log_multiplier", Neutral::Off),
    ("rope.scaling.yarn_attn_factor", Neutral::Numbers(&[1.0])),
    ("rope.scaling.yarn_ext_factor", Neutral::Numbers(&[1.0])),
    ("swin_norm", Neutral::Off),
];

/// Keys (after `llama.`) that are read, or that describe a model and change nothing.
const HARMLESS: [&str; 38] = [
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "context_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.low_freq_factor",
    "rope.scaling.high_freq_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "pooling_type",
    // Of experts, which `expert_count` says there are none of.
    "expert_shared_count",
    "expert_group_count",
    "expert_feed_forward_length",
    "leading_dense_block_count",
    "interleave_moe_layer_step",
    "moe_every_n_layers",
    "expert_group_used_count",
    "expert_shared_feed_forward_length",
    "expert_weights_scale",
    "expert_weights_norm",
    "expert_gating_func",
];

/// Refuses what is no whole Llama model, by what it is.
///
/// # Errors
/// The file is an adapter, a projector, an importance matrix, or a model of another family.
pub(crate) fn kind(checkpoint: &dyn Checkpoint) -> Result<(), ConfigError> {
    let meta = checkpoint.metadata();
    let file = || meta.file().to_owned();
    let is = |what: &str, instead: &str| {
        Err(ConfigError::Kind {
            file: file(),
            what: what.into(),
            instead: instead.into(),
        })
    };
    let adapter = "merge it into the model that it was made for (peft's merge_and_unload, \
        llama.cpp's llama-export-lora), \
                   and give the merged model";
    let projector = "it goes beside a language model, whose GGUF file is the one to give; images \
        are not supported";
    let importance = "it goes with `godwit quantize --imatrix`; give the model itself";
    let architecture = meta.string(ARCHITECTURE)?;
    match meta.string(TYPE)? {
        None | Some("model") => {}
        Some("adapter") => {
            return is(
                "a LoRA adapter (general.type is `adapter`), not a whole model",
                adapter,
            );
        }
        Some("mmproj" | "projector") => {
            return is(
                "a projector of images or sound, not a language model",
                projector,
            );
        }
        Some("imatrix") => {
            return is(
                "an importance matrix (general.type is `imatrix`), not a model",
                importance,
            );
        }
        Some(other) => {
            let (key, value) = (TYPE.into(), format!("`{}`", other.escape_debug()));
            return Err(ConfigError::Unsupported {
                file: file(),
                key,
                value,
                known: "model".into(),
            });
        }
    }
    match architecture {
        Some("llama") => Ok(()),
        Some("clip") => is(
            "a projector of images or sound, not a language model",
            projector,
        ),
        Some("controlvector") => is(
            "a control vector, not a model",
            "give the model that it was made for",
        ),
        Some(other) => Err(ConfigError::Architecture {
            file: file(),
            found: other.escape_debug().to_string(),
        }),
        None => Err(ConfigError::Missing {
            file: file(),
            key: ARCHITECTURE.into(),
        }),
    }
}

/// Hyperparameters in GGUF's keys that no code computes.
pub(crate) fn of_metadata(meta: &Metadata) -> Vec<ConfigError> {
    let number = |key: &str| {
        meta.uniform(&format!("llama.{key}"))
            .ok()
            .flatten()
            .map(|n| n as f64)
    };
    let head_dim = number("attention.key_length").or_else(|| {
        Some((number("embedding_length")? / number("attention.head_count")?).floor())
            .filter(|dim| dim.is_finite())
    });
    let listed = KEYS
        .iter()
        .filter_map(|(key, neutral)| of_key(meta, &format!("llama.{key}"), neutral, head_dim));
    let named =
        unlisted(meta).filter_map(|key| of_key(meta, key, &neutral_by_name(key)?, head_dim));
    listed.chain(named).collect()
}

fn of_key(
    meta: &Metadata,
    key: &str,
    neutral: &Neutral,
    head_dim: Option<f64>,
) -> Option<ConfigError> {
    let is_bad = |number: f64| !neutral.admits(number, head_dim);
    let bad = match meta.get(key)? {
        Value::Bool(value) => Some(f64::from(u8::from(*value))).filter(|&number| is_bad(number)),
        // One for each layer.
        Value::Array(array) => match array.find_number(is_bad) {
            Some(bad) => bad,
            None => {
                return Some(
                    meta.cause(
                        key,
                        FormatCause::ValueKind {
                            expected: "a number",
                            found: array.kind().into(),
                        },
                    )
                    .into(),
                );
            }
        },
        _ => match meta.f64(key) {
            Ok(number) => number.filter(|&number| is_bad(number)),
            Err(error) => return Some(error.into()),
        },
    };
    let bad = bad?;
    let value = match (meta.get(key), bad) {
        (Some(Value::Bool(value)), _) => value.to_string(),
        _ => bad.to_string(),
    };
    let (file, key) = (
        meta.origin_file(key).to_owned(),
        meta.origin(key).to_owned(),
    );
    Some(ConfigError::Unsupported {
        file,
        key,
        value,
        known: neutral.known(),
    })
}

/// Keys of hyperparameters in GGUF's keys that are in no table.
fn unlisted(meta: &Metadata) -> impl Iterator<Item = &str> {
    meta.iter().map(|(key, _)| key).filter(|key| {
        let own = key.strip_prefix("llama.").filter(|own| !own.is_empty());
        own.is_some_and(|own| {
            !HARMLESS.contains(&own) && !KEYS.iter().any(|(known, _)| *known == own)
        })
    })
}

/// Unknown hyperparameters among GGUF's keys. They may change an answer or not.
pub(crate) fn unknown_keys(meta: &Metadata) -> Vec<UnknownKey> {
    let unknown = unlisted(meta).filter(|key| neutral_by_name(key).is_none());
    unknown
        .map(|key| UnknownKey {
            file: meta.origin_file(key).into(),
            key: meta.origin(key).into(),
        })
        .collect()
}
