//! The keys of `config.json`: those that change the forward pass in ways Godwit has no code for,
//! those that change nothing, and those that are not known.
//!
//! Harmless keys are those that transformers (`LlamaConfig`, `PreTrainedConfig`,
//! `GenerationConfig`) and common tools write.

use serde_json::Value as Json;

use super::config_json::{COUNTS, STRETCHES, changes};
use crate::model::{Neutral, neutral_by_name};

const ACTIVATIONS: [&str; 2] = ["silu", "swish"];
const NORMS: [&str; 5] = ["rmsnorm", "rms_norm", "rms", "RMSNorm", "LlamaRMSNorm"];

/// Keys that change the forward pass, and the values at which they do not. GGUF's names are in the
/// table of `model/variations.rs`.
const VARIATIONS: [(&str, Neutral); 118] = [
    ("hidden_act", Neutral::Words(&ACTIVATIONS)),
    ("hidden_activation", Neutral::Words(&ACTIVATIONS)),
    ("activation_function", Neutral::Words(&ACTIVATIONS)),
    (
        "position_embedding_type",
        Neutral::Words(&["rope", "rotary"]),
    ),
    ("partial_rotary_factor", Neutral::Numbers(&[1.0])),
    ("rotary_pct", Neutral::Numbers(&[1.0])),
    ("rope_pct", Neutral::Numbers(&[1.0])),
    ("alibi", Neutral::Off),
    ("no_rope_layer_interval", Neutral::Off),
    ("attention_multiplier", Neutral::AttentionScale),
    ("attn_logit_softcapping", Neutral::Off),
    ("final_logit_softcapping", Neutral::Off),
    ("logit_softcap", Neutral::Off),
    ("logit_scale", Neutral::Numbers(&[1.0])),
    ("logits_scaling", Neutral::Numbers(&[1.0])),
    ("lm_head_multiplier", Neutral::Numbers(&[1.0])),
    ("residual_multiplier", Neutral::Numbers(&[1.0])),
    ("residual_scale", Neutral::Numbers(&[1.0])),
    ("embedding_multiplier", Neutral::Numbers(&[1.0])),
    ("embedding_scale", Neutral::Numbers(&[1.0])),
    ("key_multiplier", Neutral::Numbers(&[1.0])),
    ("attention_in_multiplier", Neutral::Numbers(&[1.0])),
    ("attention_out_multiplier", Neutral::Numbers(&[1.0])),
    ("scale_emb", Neutral::Numbers(&[1.0])),
    ("scale_depth", Neutral::Off),
    ("clip_qkv", Neutral::Off),
    ("qk_norm", Neutral::Off),
    ("use_qk_norm", Neutral::Off),
    ("qk_layernorm", Neutral::Off),
    ("attention_chunk_size", Neutral::Off),
    ("attn_temperature_tuning", Neutral::Off),
    ("is_causal", Neutral::On),
    ("use_bidirectional_attention", Neutral::Off),
    ("parallel_attn", Neutral::Off),
    ("use_parallel_residual", Neutral::Off),
    ("is_encoder_decoder", Neutral::Off),
    ("add_cross_attention", Neutral::Off),
    ("pruned_heads", Neutral::Off),
    ("num_experts", Neutral::Off),
    ("num_local_experts", Neutral::Off),
    ("n_routed_experts", Neutral::Off),
    ("moe_num_experts", Neutral::Off),
    ("num_nextn_predict_layers", Neutral::Off),
    ("num_kv_shared_layers", Neutral::Off),
    ("q_lora_rank", Neutral::Off),
    ("kv_lora_rank", Neutral::Off),
    ("text_config", Neutral::Off),
    ("vision_config", Neutral::Off),
    ("audio_config", Neutral::Off),
    ("compression_config", Neutral::Off),
    ("activation", Neutral::Words(&ACTIVATIONS)),
    ("activation_fn", Neutral::Words(&ACTIVATIONS)),
    ("act_fn", Neutral::Words(&ACTIVATIONS)),
    ("mlp_hidden_act", Neutral::Words(&ACTIVATIONS)),
    ("gated_mlp", Neutral::On),
    ("use_gated_mlp", Neutral::On),
    ("use_glu", Neutral::On),
    ("use_swiglu", Neutral::On),
    ("norm_type", Neutral::Words(&NORMS)),
    ("norm_class", Neutral::Words(&NORMS)),
    ("layer_norm_type", Neutral::Words(&NORMS)),
    ("layernorm_type", Neutral::Words(&NORMS)),
    ("normalization", Neutral::Words(&NORMS)),
    ("normalization_type", Neutral::Words(&NORMS)),
    ("normalization_function", Neutral::Words(&NORMS)),
    ("use_rms_norm", Neutral::On),
    ("use_rmsnorm", Neutral::On),
    ("rms_norm", Neutral::On),
    ("final_norm", Neutral::On),
    ("final_layernorm", Neutral::On),
    ("final_layer_norm", Neutral::On),
    ("use_final_norm", Neutral::On),
    ("pre_norm", Neutral::On),
    ("do_layer_norm_before", Neutral::On),
    ("post_norm", Neutral::Off),
    ("use_post_norm", Neutral::Off),
    ("sandwich_norm", Neutral::Off),
    ("apply_residual_connection_post_layernorm", Neutral::Off),
    ("use_rope", Neutral::On),
    ("rotary", Neutral::On),
    ("is_neox_style", Neutral::On),
    ("rope_is_neox_style", Neutral::On),
    ("rotary_is_neox_style", Neutral::On),
    ("rope_interleaved", Neutral::Off),
    ("rope_interleave", Neutral::Off),
    ("interleaved_rope", Neutral::Off),
    ("use_interleaved_rope", Neutral::Off),
    ("rotary_interleaved", Neutral::Off),
    ("rope_traditional", Neutral::Off),
    ("no_rope_layers", Neutral::Off),
    ("nope_layers", Neutral::Off),
    ("rope_local_base_freq", Neutral::Off),
    ("use_alibi", Neutral::Off),
    ("use_dynamic_ntk", Neutral::Off),
    ("use_logn_attn", Neutral::Off),
    ("log_scale", Neutral::Off),
    ("attn_scale", Neutral::AttentionScale),
    ("attention_scale", Neutral::AttentionScale),
    ("softmax_scale", Neutral::AttentionScale),
    ("scale_attn_weights", Neutral::On),
    ("scale_attn_by_inverse_layer_idx", Neutral::Off),
    ("attention_sinks", Neutral::Off),
    ("attention_sink", Neutral::Off),
    ("use_attention_sinks", Neutral::Off),
    ("bidirectional", Neutral::Off),
    ("parallel_residual", Neutral::Off),
    ("use_parallel_attn", Neutral::Off),
    ("logits_scale", Neutral::Numbers(&[1.0])),
    ("embed_scale", Neutral::Numbers(&[1.0])),
    ("emb_scale", Neutral::Numbers(&[1.0])),
    ("embedding_scaling", Neutral::Numbers(&[1.0])),
    ("output_scale", Neutral::Numbers(&[1.0])),
    ("residual_scaling", Neutral::Numbers(&[1.0])),
    ("scale_embedding", Neutral::Off),
    ("scale_embeddings", Neutral::Off),
    ("normalize_embedding", Neutral::Off),
    ("use_moe", Neutral::Off),
    ("per_layer_config", Neutral::Off),
];

/// Keys of `rope_scaling` and `rope_parameters` that change the frequencies, and the values at
/// which they do not.
const ROPE_VARIATIONS: [(&str, Neutral); 10] = [
    ("partial_rotary_factor", Neutral::Numbers(&[1.0])),
    ("short_factor", Neutral::Off),
    ("long_factor", Neutral::Off),
    ("mrope_section", Neutral::Off),
    ("attn_factor", Neutral::Numbers(&[1.0])),
    ("extrapolation_factor", Neutral::Numbers(&[1.0])),
    ("alpha", Neutral::Numbers(&[1.0])),
    ("interleaved", Neutral::Off),
    ("rope_interleaved", Neutral::Off),
    ("mrope_interleaved", Neutral::Off),
];

/// Keys of `rope_scaling` and `rope_parameters` that are read or that describe, besides those of
/// [`STRETCHES`].
const ROPE_HARMLESS: [&str; 9] = [
    "rope_type",
    "type",
    "rope_theta",
    "original_max_position_embeddings",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "finetuned",
];

/// Keys that are read, or that change nothing in the forward pass, besides those of [`COUNTS`].
const HARMLESS: [&str; 145] = [
    // Read, or checked on their own.
    "architectures",
    "model_type",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "sliding_window",
    "use_sliding_window",
    "layer_types",
    "query_pre_attn_scalar",
    "quantization",
    "quantization_config",
    "auto_map",
    "eos_token_id",
    // How tokens are chosen: `generation_config.json` says it.
    "temperature",
    "top_k",
    "top_p",
    "top_h",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "do_sample",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "length_penalty",
    "diversity_penalty",
    "exponential_decay_length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "force_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
    "constraints",
    "renormalize_logits",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "forced_decoder_ids",
    "remove_invalid_values",
    "guidance_scale",
    "penalty_alpha",
    "dola_layers",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "early_stopping",
    "max_length",
    "min_length",
    "max_new_tokens",
    "min_new_tokens",
    "max_time",
    "stop_strings",
    "token_healing",
    "low_memory",
    "watermarking_config",
    "use_mtp",
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "cache_implementation",
    "cache_config",
    "return_dict_in_generate",
    // Descriptions, and how transformers runs the model.
    "transformers_version",
    "transformers.js_config",
    "torch_dtype",
    "dtype",
    "name_or_path",
    "is_llama_config",
    "tokenizer_class",
    "model_max_length",
    "max_sequence_length",
    "max_seq_len",
    "max_seq_length",
    "seq_length",
    "bos_token_id",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
    "use_cache",
    "return_dict",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "attn_implementation",
    "experts_implementation",
    "use_flash_attn",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flashattn",
    "flash_attention",
    "fused_rms_norm",
    "chunk_size_feed_forward",
    "is_decoder",
    "cross_attention_hidden_size",
    "tie_encoder_decoder",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "task_specific_params",
    "finetuning_task",
    "prefix",
    "license",
    "tags",
    "base_model_tp_plan",
    "base_model_pp_plan",
    "base_model_ep_plan",
    "base_model_fsdp_plan",
    // Training. Experts that `num_local_experts` counts none of; shapes that the tensors tell.
    "initializer_range",
    "initializer_factor",
    "pretraining_tp",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "hidden_dropout",
    "hidden_dropout_prob",
    "resid_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "embd_dropout",
    "attn_pdrop",
    "dropout",
    "ffn_dropout",
    "classifier_dropout",
    "layerdrop",
    "gradient_checkpointing",
    "use_gradient_checkpointing",
    "z_loss_coefficient",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "expert_capacity",
    "max_window_layers",
    "multiple_of",
    "ffn_dim_multiplier",
    "keys_to_ignore_at_inference",
];

/// Keys of `generation_config.json` that change how transformers chooses tokens and that Godwit has
/// no code for, with the values at which they change nothing.
const CHOICES: [(&str, Neutral); 22] = [
    ("num_beams", Neutral::Numbers(&[0.0, 1.0])),
    ("num_beam_groups", Neutral::Numbers(&[0.0, 1.0])),
    ("typical_p", Neutral::Numbers(&[1.0])),
    ("top_h", Neutral::Numbers(&[1.0])),
    ("epsilon_cutoff", Neutral::Off),
    ("eta_cutoff", Neutral::Off),
    ("encoder_repetition_penalty", Neutral::Numbers(&[1.0])),
    ("no_repeat_ngram_size", Neutral::Off),
    ("encoder_no_repeat_ngram_size", Neutral::Off),
    ("exponential_decay_length_penalty", Neutral::Off),
    ("bad_words_ids", Neutral::Off),
    ("force_words_ids", Neutral::Off),
    ("suppress_tokens", Neutral::Off),
    ("begin_suppress_tokens", Neutral::Off),
    ("sequence_bias", Neutral::Off),
    ("constraints", Neutral::Off),
    ("guidance_scale", Neutral::Numbers(&[1.0])),
    ("penalty_alpha", Neutral::Off),
    ("dola_layers", Neutral::Off),
    ("min_length", Neutral::Off),
    ("min_new_tokens", Neutral::Off),
    ("stop_strings", Neutral::Off),
];

/// Whether a key of `generation_config.json` changes how tokens are chosen in a way that Godwit has
/// no code for.
pub(super) fn changes_choice(key: &str, value: &Json) -> bool {
    CHOICES
        .iter()
        .any(|(known, neutral)| *known == key && changes(value, neutral, None))
}

/// The beginnings of harmless keys: transformers' private keys, its outputs, notes of tools.
const HARMLESS_PREFIXES: [&str; 4] = ["_", "output_", "summary_", "unsloth_"];

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
