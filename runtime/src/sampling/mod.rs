//! How the next token is chosen from the logits: the parameters only. The GPU does the choosing.

mod choice;

use thiserror::Error;

use crate::gguf::{FormatCause, FormatError, Metadata};
use crate::setters::setters;

/// How the next token is chosen.
///
/// In the order of use: the penalties and the bias change the logits, `temperature` divides them,
/// then `top_k`, `top_p` and `min_p` each leave out unlikely tokens, and one of the rest is drawn
/// in proportion to its probability. The same seed, prompt and parameters give the same text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Logits are divided by this. 0 chooses the most likely token always (greedy). At least 0.
    pub temperature: f32,
    /// Only the `top_k` most likely tokens stay. 0: all.
    pub top_k: u32,
    /// Only the smallest set of most likely tokens stays whose probabilities reach this sum. In (0,
    /// 1]; 1: all.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the most likely one stay. In [0, 1]; 0: all.
    pub min_p: f32,
    /// The logit of each token seen in the window is divided by this where positive, multiplied
    /// where negative (Keskar et al. 2019, CTRL). Above 0; 1: off.
    pub repetition_penalty: f32,
    /// Subtracted once from the logit of each token seen in the window. In [-2, 2], as in OpenAI's
    /// API; 0: off.
    pub presence_penalty: f32,
    /// Subtracted from the logit of each token once per time it was seen in the window. In [-2, 2];
    /// 0: off.
    pub frequency_penalty: f32,
    /// How many of the last tokens the three penalties look at.
    pub penalty_window: u32,
    /// Added to the logits of single tokens: (token id, bias). Minus infinity forbids a token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Where the random numbers start.
    pub seed: u64,
}

setters! { Sampling {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    penalty_window: u32,
    logit_bias: Vec<(u32, f32)>,
    seed: u64,
} }

/// The usual setting for Llama 3: temperature 0.6, top-p 0.9, nothing else.
impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.6,
            top_k: 0,
            top_p: 0.9,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 64,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            ..Self::default()
        }
    }

    /// Whether the choice needs no random number.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether any penalty is on, so that the tokens seen so far matter.
    pub fn has_penalties(&self) -> bool {
        self.penalty_window > 0
            && (self.repetition_penalty != 1.0
                || self.presence_penalty != 0.0
                || self.frequency_penalty != 0.0)
    }

    /// Checks every parameter, and the ids of `logit_bias` against a vocabulary of `vocab_size`
    /// tokens.
    ///
    /// # Errors
    /// Names the first parameter that is out of its range, its value, and the range.
    pub fn validate(&self, vocab_size: u32) -> Result<(), SamplingError> {
        let checks = [
            (
                "temperature",
                self.temperature,
                self.temperature >= 0.0,
                "at least 0",
            ),
            (
                "top_p",
                self.top_p,
                self.top_p > 0.0 && self.top_p <= 1.0,
                "above 0 and at most 1",
            ),
            (
                "min_p",
                self.min_p,
                (0.0..=1.0).contains(&self.min_p),
                "between 0 and 1",
            ),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty > 0.0,
                "above 0 (1 is off)",
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                self.presence_penalty.abs() <= 2.0,
                "between -2 and 2",
            ),
            (
                "frequency_penalty",
                self.frequency_penalty,
                self.frequency_penalty.abs() <= 2.0,
                "between -2 and 2",
            ),
        ];
        for (name, value, in_range, range) in checks {
            if !(in_range && value.is_finite()) {
                return Err(SamplingError::OutOfRange { name, value, range });
            }
        }
        for &(id, bias) in &self.logit_bias {
            if id >= vocab_size {
                return Err(SamplingError::BiasToken { id, vocab_size });
            }
            if bias.is_nan() || bias == f32::INFINITY {
                return Err(SamplingError::Bias { id, bias });
            }
        }
        Ok(())
    }
}

/// The parameters that a model's files may recommend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// [`Sampling::temperature`].
    Temperature,
    /// [`Sampling::top_k`].
    TopK,
    /// [`Sampling::top_p`].
    TopP,
    /// [`Sampling::min_p`].
    MinP,
    /// [`Sampling::repetition_penalty`].
    RepetitionPenalty,
}

impl Parameter {
    const ALL: [Self; 5] = [
        Self::Temperature,
        Self::TopK,
        Self::TopP,
        Self::MinP,
        Self::RepetitionPenalty,
    ];

    /// GGUF's key.
    fn key(self) -> &'static str {
        match self {
            Self::Temperature => "general.sampling.temp",
            Self::TopK => "general.sampling.top_k",
            Self::TopP => "general.sampling.top_p",
            Self::MinP => "general.sampling.min_p",
            Self::RepetitionPenalty => "general.sampling.penalty_repeat",
        }
    }

    /// Sets it to what the metadata recommends, if that can be used.
    fn set(self, sampling: &mut Sampling, metadata: &Metadata) -> Result<(), FormatError> {
        let key = self.key();
        if self == Self::TopK {
            // -1 is how other tools write that all tokens stay.
            let Some(number) = metadata.f64(key)? else {
                return Ok(());
            };
            match number {
                all if all.fract() == 0.0 && (-1.0..=0.0).contains(&all) => sampling.top_k = 0,
                _ => sampling.top_k = metadata.u32(key)?.unwrap_or(sampling.top_k),
            }
            return Ok(());
        }
        let Some(value) = metadata.f32(key)? else {
            return Ok(());
        };
        let mut changed = sampling.clone();
        match self {
            Self::Temperature => changed.temperature = value,
            Self::TopP => changed.top_p = value,
            Self::MinP => changed.min_p = value,
            Self::TopK | Self::RepetitionPenalty => changed.repetition_penalty = value,
        }
        match changed.validate(u32::MAX) {
            Err(SamplingError::OutOfRange { value, range, .. }) => Err(metadata.cause(
                key,
                FormatCause::OutOfRange {
                    value: value.to_string(),
                    range,
                },
            )),
            _ => {
                *sampling = changed;
                Ok(())
            }
        }
    }
}

/// The sampling settings that a model's files recommend. A value that makes no sense matters only
/// where it would be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommended {
    sampling: Sampling,
    causes: Vec<(Parameter, FormatError)>,
}

impl Recommended {
    /// Reads `general.sampling.*`, on top of the default.
    pub(crate) fn read(metadata: &Metadata) -> Self {
        let mut all = Self {
            sampling: Sampling::default(),
            causes: Vec::new(),
        };
        for parameter in Parameter::ALL {
            if let Err(error) = parameter.set(&mut all.sampling, metadata) {
                all.causes.push((parameter, error));
            }
        }
        all
    }

    /// The values that make sense, on top of the default.
    pub fn sampling(&self) -> Sampling {
        self.sampling.clone()
    }

    /// The values that make no sense, instead of which the defaults are used: which parameter, and
    /// what is wrong where.
    pub fn causes(&self) -> &[(Parameter, FormatError)] {
        &self.causes
    }
}

/// A sampling parameter that makes no sense.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// A number outside its range.
    #[error("{name} is {value}, but it must be a number {range}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// The value.
        value: f32,
        /// The permitted values.
        range: &'static str,
    },
    /// A bias for a token that does not exist.
    #[error("logit_bias names token {id}, but the vocabulary has {vocab_size} tokens")]
    BiasToken {
        /// The id asked for.
        id: u32,
        /// How many tokens there are.
        vocab_size: u32,
    },
    /// A bias that is not a number, or plus infinity.
    #[error(
        "logit_bias for token {id} is {bias}, but it must be a number (minus infinity forbids the \
         token)"
    )]
    Bias {
        /// The token.
        id: u32,
        /// The value.
        bias: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Sampling::default().validate(10), Ok(()));
        assert_eq!(Sampling::greedy().validate(10), Ok(()));
        assert!(Sampling::greedy().is_greedy() && !Sampling::default().is_greedy());
        assert!(!Sampling::default().has_penalties());
    }

    #[test]
    fn names_what_is_out_of_range() {
        let error = |change: fn(&mut Sampling)| {
            let mut s = Sampling::default();
            change(&mut s);
            s.validate(10).expect_err("out of range").to_string()
        };
        assert_eq!(
            error(|s| s.temperature = -0.1),
            "temperature is -0.1, but it must be a number at least 0"
        );
        assert_eq!(
            error(|s| s.temperature = f32::INFINITY),
            "temperature is inf, but it must be a number at least 0"
        );
        assert_eq!(
            error(|s| s.top_p = 0.0),
            "top_p is 0, but it must be a number above 0 and at most 1"
        );
        assert_eq!(
            error(|s| s.top_p = f32::NAN),
            "top_p is NaN, but it must be a number above 0 and at most 1"
        );
        assert_eq!(
            error(|s| s.min_p = 1.5),
            "min_p is 1.5, but it must be a number between 0 and 1"
        );
        assert_eq!(
            error(|s| s.repetition_penalty = 0.0),
            "repetition_penalty is 0, but it must be a number above 0 (1 is off)"
        );
        assert_eq!(
            error(|s| s.logit_bias = vec![(10, 1.0)]),
            "logit_bias names token 10, but the vocabulary has 10 tokens"
        );
        assert_eq!(
            error(|s| s.logit_bias = vec![(1, f32::INFINITY)]),
            "logit_bias for token 1 is inf, but it must be a number (minus infinity forbids the \
             token)"
        );
    }
}
