//! The values at which a hyperparameter changes nothing: whether it is GGUF's or `config.json`'s.

/// When a hyperparameter changes nothing.
pub(crate) enum Neutral {
    /// Where it is one of these numbers.
    Numbers(&'static [f64]),
    /// Where it is off: false, 0, or empty.
    Off,
    /// Where it is true.
    On,
    /// Where it is one of these words.
    Words(&'static [&'static str]),
    /// Where it is what attention divides scores by anyway: `1 / sqrt(head size)`, or 0 for that.
    AttentionScale,
}

impl Neutral {
    /// The supported values, for messages.
    pub fn known(&self) -> String {
        let list = |words: Vec<String>| words.join(", ");
        match self {
            Self::Numbers(numbers) => list(numbers.iter().map(f64::to_string).collect()),
            Self::Off => "none".into(),
            Self::On => "true".into(),
            Self::Words(words) => list(words.iter().map(|word| (*word).to_owned()).collect()),
            Self::AttentionScale => "1 / sqrt(head size)".into(),
        }
    }

    /// Whether a number changes nothing, for heads of this size.
    pub fn admits(&self, number: f64, head_dim: Option<f64>) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.contains(&number),
            Self::Off => number == 0.0,
            Self::On => number == 1.0,
            Self::Words(_) => false,
            Self::AttentionScale => {
                number == 0.0
                    || head_dim.is_some_and(|dim| (number * dim.sqrt() - 1.0).abs() < 1e-3)
            }
        }
    }
}

/// When a hyperparameter that no table holds changes nothing, if its name says what it scales or
/// caps. Takes GGUF's keys and those of `config.json`.
pub(crate) fn neutral_by_name(key: &str) -> Option<Neutral> {
    let key = key.to_ascii_lowercase();
    let contains = |parts: &[&str]| parts.iter().any(|part| key.contains(part));
    let ends = |parts: &[&str]| parts.iter().any(|part| key.ends_with(part));
    if contains(&["softcap", "soft_cap", "logit_cap", "logits_cap"]) {
        Some(Neutral::Off)
    } else if ends(&["_mult", "_multiplier", "_multipliers"]) {
        Some(Neutral::Numbers(&[1.0]))
    } else if ends(&["attn_scale", "attention_scale", "softmax_scale"]) {
        Some(Neutral::AttentionScale)
    } else if key.split(['.', '_']).any(|word| word == "mup") {
        // Maximal update parametrization: factors of embeddings, residuals, attention and logits.
        Some(Neutral::Numbers(&[0.0, 1.0]))
    } else {
        None
    }
}
