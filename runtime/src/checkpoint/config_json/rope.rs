//! The rotary embedding: `rope_theta`, and how it is stretched.

use std::f64::consts::TAU;

use super::{Settings, changes, shown};
use crate::checkpoint::config_keys::{self, Meaning};
use crate::checkpoint::json_file::JsonFile;
use crate::checkpoint::neutral::Neutral;
use crate::error::ConfigError;
use crate::gguf::{FormatCause, FormatError, Value};

/// The names of GGUF's numbers in `rope_scaling`.
pub(in crate::checkpoint) const STRETCHES: [(&str, &str); 5] = [
    ("factor", "llama.rope.scaling.factor"),
    ("low_freq_factor", "llama.rope.scaling.low_freq_factor"),
    ("high_freq_factor", "llama.rope.scaling.high_freq_factor"),
    ("beta_fast", "llama.rope.scaling.yarn_beta_fast"),
    ("beta_slow", "llama.rope.scaling.yarn_beta_slow"),
];

impl Settings {
    /// The rotary embedding: `rope_theta` and `rope_scaling`, or `rope_parameters` in files of
    /// transformers 5.
    pub(super) fn rope(&mut self, config: &JsonFile) {
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
}
