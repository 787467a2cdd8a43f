//! Arguments that say how tokens are chosen.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use godwit::sampling::Parameter;
use godwit::{Recommended, Sampling, Speculation};

use super::whole;
use crate::candidates;
use crate::output::warn;

/// How tokens are chosen, and what ends an answer. What is not given, the model's defaults decide.
#[derive(Args, Clone, Debug, Default)]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most likely token [default: the model's].
    #[arg(long, value_name = "T", alias = "temperature")]
    #[arg(help_heading = "Sampling")]
    pub temp: Option<f32>,
    /// Only the K most likely tokens; 0: all [default: the model's].
    #[arg(long, value_name = "K", value_parser = whole::<u32>)]
    #[arg(help_heading = "Sampling")]
    pub top_k: Option<u32>,
    /// Only the most likely tokens that make up this share [default: the model's].
    #[arg(long, value_name = "P")]
    #[arg(help_heading = "Sampling")]
    pub top_p: Option<f32>,
    /// Only tokens at least this fraction as likely as the best [default: the model's].
    #[arg(long, value_name = "P")]
    #[arg(help_heading = "Sampling", hide_short_help = true)]
    pub min_p: Option<f32>,
    /// Penalty on tokens seen lately; 1: none [default: the model's].
    #[arg(long, value_name = "X", alias = "repeat-penalty")]
    #[arg(help_heading = "Sampling", hide_short_help = true)]
    pub repetition_penalty: Option<f32>,
    /// Penalty once for each token seen lately [default: 0, which is none].
    #[arg(long, value_name = "X")]
    #[arg(help_heading = "Sampling", hide_short_help = true)]
    pub presence_penalty: Option<f32>,
    /// Penalty for each time a token was seen lately [default: 0, which is none].
    #[arg(long, value_name = "X")]
    #[arg(help_heading = "Sampling", hide_short_help = true)]
    pub frequency_penalty: Option<f32>,
    /// Added to a token's logit, `ID=BIAS`; -inf forbids it. May be repeated.
    #[arg(long, value_name = "ID=BIAS", value_parser = logit_bias)]
    #[arg(help_heading = "Sampling", hide_short_help = true)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Ends the answer before this text. May be repeated.
    #[arg(long, value_name = "TEXT", alias = "reverse-prompt")]
    #[arg(help_heading = "Sampling")]
    pub stop: Vec<String>,
    /// Seed of the random numbers [default: from the clock]
    ///
    /// The same seed gives the same text. -1: a seed from the clock.
    #[arg(long, value_name = "N", value_parser = seed)]
    #[arg(help_heading = "Sampling")]
    pub seed: Option<u64>,
}

/// Tokens that are guessed.
#[derive(Args, Clone, Debug)]
pub struct SpeculationArgs {
    /// Guess the next tokens, and compute them together: auto (where it pays), off, or how many.
    /// They come from the text so far, or from --draft. The answer is the same.
    #[arg(
        long,
        value_name = "auto|off|N",
        default_value = "auto",
        hide_short_help = true
    )]
    #[arg(help_heading = "Speculative decoding")]
    pub speculate: Speculation,
    /// A smaller model with the same vocabulary, which guesses.
    #[arg(long, value_name = "MODEL", hide_short_help = true)]
    #[arg(add = ArgValueCompleter::new(candidates::model))]
    #[arg(help_heading = "Speculative decoding")]
    pub draft: Option<PathBuf>,
}

impl SamplingArgs {
    /// Fails where a value is out of range, before a model is looked at.
    ///
    /// # Errors
    /// Which value it is, and the range.
    pub fn check(&self) -> anyhow::Result<()> {
        let sampling = self.over_values(Sampling::default());
        Ok(sampling.validate(u32::MAX).map_err(godwit::Error::from)?)
    }

    /// The parameters, on top of what the model's files recommend. Says what of that would be used,
    /// and can't be.
    pub fn over(&self, recommended: &Recommended) -> Sampling {
        let sampling = self.over_values(recommended.sampling());
        for (parameter, error) in recommended.causes() {
            if let Some((option, value)) = self.unset(*parameter, &sampling) {
                warn(&format!(
                    "{error}: {value} is used instead; {option} sets it"
                ));
            }
        }
        sampling
    }

    /// The option that sets a parameter, and the parameter's value, where the option is not given
    /// and the value matters.
    fn unset(&self, parameter: Parameter, sampling: &Sampling) -> Option<(&'static str, f32)> {
        let (given, option, value) = match parameter {
            Parameter::Temperature => (self.temp.is_some(), "--temp", sampling.temperature),
            Parameter::TopK => (self.top_k.is_some(), "--top-k", sampling.top_k as f32),
            Parameter::TopP => (self.top_p.is_some(), "--top-p", sampling.top_p),
            Parameter::MinP => (self.min_p.is_some(), "--min-p", sampling.min_p),
            Parameter::RepetitionPenalty => {
                let value = sampling.repetition_penalty;
                return self
                    .repetition_penalty
                    .is_none()
                    .then_some(("--repetition-penalty", value));
            }
            _ => return None,
        };
        let matters = parameter == Parameter::Temperature || !sampling.is_greedy();
        (!given && matters).then_some((option, value))
    }

    fn over_values(&self, defaults: Sampling) -> Sampling {
        Sampling::default()
            .temperature(self.temp.unwrap_or(defaults.temperature))
            .top_k(self.top_k.unwrap_or(defaults.top_k))
            .top_p(self.top_p.unwrap_or(defaults.top_p))
            .min_p(self.min_p.unwrap_or(defaults.min_p))
            .repetition_penalty(
                self.repetition_penalty
                    .unwrap_or(defaults.repetition_penalty),
            )
            .presence_penalty(self.presence_penalty.unwrap_or(defaults.presence_penalty))
            .frequency_penalty(self.frequency_penalty.unwrap_or(defaults.frequency_penalty))
            .penalty_window(defaults.penalty_window)
            .logit_bias(self.logit_bias.clone())
            .seed(self.seed.unwrap_or_else(clock))
    }
}

/// A seed from the clock.
fn clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |t| t.as_nanos() as u64)
}

/// A seed; -1: one from the clock.
pub fn seed(text: &str) -> Result<u64, String> {
    match text.trim() {
        "-1" => Ok(clock()),
        text => whole(text).map_err(|error| format!("{error}, or -1 for one from the clock")),
    }
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let (id, bias) = text
        .split_once('=')
        .ok_or("write ID=BIAS, such as 13=-1.5")?;
    let id = id
        .trim()
        .parse()
        .map_err(|_| format!("`{id}` is no token id"))?;
    let bias = bias
        .trim()
        .parse()
        .map_err(|_| format!("`{bias}` is no number"))?;
    Ok((id, bias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_biases() {
        assert_eq!(logit_bias("13=-1.5"), Ok((13, -1.5)));
        assert_eq!(logit_bias("7=-inf"), Ok((7, f32::NEG_INFINITY)));
        assert!(
            logit_bias("x=1").is_err() && logit_bias("13").is_err() && logit_bias("1=y").is_err()
        );
    }

    #[test]
    fn what_is_given_wins() {
        let args = SamplingArgs {
            temp: Some(0.0),
            seed: Some(3),
            ..SamplingArgs::default()
        };
        let sampling = args.over_values(Sampling::default());
        assert_eq!(
            (sampling.temperature, sampling.top_p, sampling.seed),
            (0.0, 0.9, 3)
        );
    }
}
