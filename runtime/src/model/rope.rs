//! Rotary frequencies in f64. Sines and cosines of position × frequency are made from these, never
//! on the GPU: at position 2^20 an f32 product is off by whole radians.

use std::f64::consts::TAU;

use std::str::FromStr;

use super::config::{Config, MAX_CONTEXT, RopeScaling};
use crate::error::ConfigError;
use crate::setters::setters;

/// Changes to a model's rotary embedding that stretch its context window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RopeOverride {
    /// The base of the frequencies, for the file's.
    pub theta: Option<f64>,
    /// How the frequencies are scaled, for the file's way.
    pub stretch: Option<RopeStretch>,
    /// The window in tokens, for the file's times the stretch.
    pub window: Option<u32>,
}

setters! { RopeOverride {
    theta: Option<f64>,
    stretch: Option<RopeStretch>,
    window: Option<u32>,
} }

/// A way to scale rotary frequencies, with the usual settings of each.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RopeStretch {
    /// As trained.
    None,
    /// All of them divided by a number.
    Linear(f64),
    /// Llama 3.1's way: the long waves divided, the short kept.
    Llama3(f64),
    /// YaRN.
    Yarn(f64),
}

/// A text that is no [`RopeStretch`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no way to scale rotary frequencies; write none, linear:FACTOR, llama3:FACTOR or \
     yarn:FACTOR"
)]
pub struct BadStretch(String);

impl FromStr for RopeStretch {
    type Err = BadStretch;

    fn from_str(text: &str) -> Result<Self, BadStretch> {
        let bad = || BadStretch(text.into());
        let (name, factor) = text.split_once(':').unwrap_or((text, ""));
        if (name, factor) == ("none", "") {
            return Ok(Self::None);
        }
        let factor = factor
            .parse()
            .ok()
            .filter(|factor| (1.0..=1e6).contains(factor))
            .ok_or_else(bad)?;
        match name {
            "linear" => Ok(Self::Linear(factor)),
            "llama3" => Ok(Self::Llama3(factor)),
            "yarn" => Ok(Self::Yarn(factor)),
            _ => Err(bad()),
        }
    }
}

impl Config {
    /// The same hyperparameters with another rotary embedding.
    pub(super) fn with_rope(&self, rope: &RopeOverride) -> Result<Self, ConfigError> {
        let original = f64::from(self.context);
        let mut config = self.clone();
        if let Some(theta) = rope.theta {
            if !(2.0..=1e15).contains(&theta) {
                return Err(ConfigError::Rope(format!(
                    "theta is {theta}, but must be from 2 to 1e15"
                )));
            }
            config.theta = theta;
        }
        let factor = match rope.stretch {
            None | Some(RopeStretch::None) => 1.0,
            Some(
                RopeStretch::Linear(factor)
                | RopeStretch::Llama3(factor)
                | RopeStretch::Yarn(factor),
            ) => factor,
        };
        config.scaling = match rope.stretch {
            None => config.scaling,
            Some(RopeStretch::None) => RopeScaling::None,
            Some(RopeStretch::Linear(_)) => RopeScaling::Linear { factor },
            Some(RopeStretch::Llama3(_)) => RopeScaling::Llama3 {
                factor,
                low: 1.0,
                high: 4.0,
                original,
            },
            Some(RopeStretch::Yarn(_)) => RopeScaling::Yarn {
                factor,
                original,
                beta_fast: 32.0,
                beta_slow: 1.0,
                attn_factor: 1.0,
            },
        };
        config.context = match rope.window {
            Some(0) => return Err(ConfigError::Rope("a window of 0 tokens".into())),
            Some(window) => window.min(MAX_CONTEXT),
            None => (original * factor).min(f64::from(MAX_CONTEXT)) as u32,
        };
        config.frequencies()?;
        Ok(config)
    }

    /// The angle per position of each pair of numbers (`rotary_dim / 2` of them, in radians), and
    /// the number that rotated vectors are multiplied by (1 but for YaRN).
    ///
    /// # Errors
    /// When the parameters give no finite frequencies, which [`Config::read`] has ruled out.
    pub fn frequencies(&self) -> Result<(Vec<f64>, f32), ConfigError> {
        let Config {
            theta, rotary_dim, ..
        } = *self;
        let dim = f64::from(rotary_dim);
        let plain = (0..rotary_dim / 2).map(|i| theta.powf(-2.0 * f64::from(i) / dim));
        let (frequencies, scale): (Vec<f64>, f64) = match &self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|f| f / factor).collect(), 1.0),
            RopeScaling::Factors(factors) => {
                let wanted = (rotary_dim / 2) as usize;
                if factors.len() != wanted {
                    return Err(ConfigError::Rope(format!(
                        "{} factors, but {wanted} frequencies",
                        factors.len()
                    )));
                }
                (
                    plain.zip(factors).map(|(f, factor)| f / factor).collect(),
                    1.0,
                )
            }
            &RopeScaling::Llama3 {
                factor,
                low,
                high,
                original,
            } => {
                let slow = |f: f64| {
                    let turns = original * f / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    kept * f + (1.0 - kept) * f / factor
                };
                (plain.map(slow).collect(), 1.0)
            }
            &RopeScaling::Yarn {
                factor,
                original,
                beta_fast,
                beta_slow,
                attn_factor,
            } => {
                // The index, not whole, of the frequency that turns so often in the original
                // window.
                let index = |turns: f64| dim * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
                let first = index(beta_fast).floor().max(0.0);
                let last = index(beta_slow).ceil().min(dim - 1.0);
                let span = (last - first).max(0.001);
                let slow = |(i, f): (usize, f64)| {
                    let slowed = ((i as f64 - first) / span).clamp(0.0, 1.0);
                    (1.0 - slowed) * f + slowed * f / factor
                };
                let length = if factor > 1.0 {
                    0.1 * factor.ln() + 1.0
                } else {
                    1.0
                };
                (plain.enumerate().map(slow).collect(), length * attn_factor)
            }
        };
        let usable = |f: &f64| f.is_finite() && *f > 0.0;
        if frequencies.is_empty() || !frequencies.iter().all(usable) || !usable(&scale) {
            let detail = format!(
                "theta {theta} and {:?} give no finite frequencies",
                self.scaling
            );
            return Err(ConfigError::Rope(detail));
        }
        Ok((frequencies, scale as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_read() {
        assert_eq!("none".parse(), Ok(RopeStretch::None));
        assert_eq!("yarn:4".parse(), Ok(RopeStretch::Yarn(4.0)));
        for bad in [
            "", "yarn", "yarn:", "yarn:0.5", "yarn:nan", "none:2", "ntk:2", "linear:x",
        ] {
            assert!(bad.parse::<RopeStretch>().is_err(), "{bad}");
        }
    }
}
