//! How the keys of a checkpoint scale its rotary frequencies.

use std::ops::RangeInclusive;

use godwit_shaders::WeightFormat;

use super::keys::Keys;
use super::{MAX_CONTEXT, ROPE_FACTORS, RopeScaling};
use crate::checkpoint::Checkpoint;
use crate::error::ConfigError;

impl Keys<'_> {
    pub(super) fn scaling(
        &self,
        checkpoint: &dyn Checkpoint,
        rotary_dim: u32,
        context: &Result<u32, ConfigError>,
    ) -> Result<RopeScaling, ConfigError> {
        const FACTOR: RangeInclusive<f64> = 1e-3..=1e6;
        let key = "rope.scaling.type";
        let linear = self.meta.f64(&Self::name("rope.scale_linear"))?;
        // A factor without a type is linear: so llama.cpp has it.
        let given = self
            .meta
            .f64(&Self::name("rope.scaling.factor"))?
            .filter(|&factor| factor != 0.0);
        let default = if linear.or(given).is_some() {
            "linear"
        } else {
            "none"
        };
        let kind = self.meta.string(&Self::name(key))?.unwrap_or(default);
        let factor = |default| self.float("rope.scaling.factor", FACTOR, default);
        let original = || {
            let key = "rope.scaling.original_context_length";
            match self.meta.uniform(&Self::name(key))? {
                Some(_) => self.count(key, MAX_CONTEXT, None).map(f64::from),
                None => context.clone().map(f64::from),
            }
        };
        let linear = match linear {
            Some(_) => Some(self.float("rope.scale_linear", FACTOR, None)?),
            None => None,
        };
        let scaling = match kind {
            "none" => RopeScaling::None,
            "linear" => RopeScaling::Linear {
                factor: factor(linear)?,
            },
            "llama3" => {
                let low = self.float("rope.scaling.low_freq_factor", FACTOR, Some(1.0))?;
                let high = self.float("rope.scaling.high_freq_factor", FACTOR, Some(4.0))?;
                if low >= high {
                    return Err(self.range(
                        "rope.scaling.low_freq_factor",
                        low,
                        format!("below {high}"),
                    ));
                }
                RopeScaling::Llama3 {
                    factor: factor(None)?,
                    low,
                    high,
                    original: original()?,
                }
            }
            "yarn" => RopeScaling::Yarn {
                factor: factor(None)?,
                original: original()?,
                beta_fast: self.float("rope.scaling.yarn_beta_fast", FACTOR, Some(32.0))?,
                beta_slow: self.float("rope.scaling.yarn_beta_slow", FACTOR, Some(1.0))?,
                attn_factor: self.float("rope.scaling.attn_factor", FACTOR, Some(1.0))?,
            },
            other => {
                let (key, value) = (self.shown(key), format!("`{}`", other.escape_debug()));
                let known = "none, linear, llama3, yarn".into();
                return Err(ConfigError::Unsupported {
                    file: self.file(),
                    key,
                    value,
                    known,
                });
            }
        };
        if !matches!(scaling, RopeScaling::Yarn { .. }) {
            let key = "rope.scaling.attn_factor";
            if let Some(factor) = self
                .meta
                .f64(&Self::name(key))?
                .filter(|&factor| factor != 0.0 && factor != 1.0)
            {
                let (file, key, known) = (
                    self.file(),
                    self.shown(key),
                    format!("1 with {kind} scaling"),
                );
                return Err(ConfigError::Unsupported {
                    file,
                    key,
                    value: factor.to_string(),
                    known,
                });
            }
        }
        let Some(factors) = self.factors(checkpoint, rotary_dim)? else {
            return Ok(scaling);
        };
        match scaling {
            // The tensor is Llama 3's scaling, already worked out.
            RopeScaling::None | RopeScaling::Llama3 { .. } => Ok(RopeScaling::Factors(factors)),
            RopeScaling::Linear { factor } => Ok(RopeScaling::Factors(
                factors.into_iter().map(|own| own * factor).collect(),
            )),
            RopeScaling::Yarn { .. } | RopeScaling::Factors(_) => {
                let (key, value) = (ROPE_FACTORS.into(), format!("there beside {kind} scaling"));
                Err(ConfigError::Unsupported {
                    file: self.file(),
                    key,
                    value,
                    known: "none, linear, llama3".into(),
                })
            }
        }
    }

    /// The divisors in `rope_freqs.weight`, if the tensor is there.
    fn factors(
        &self,
        checkpoint: &dyn Checkpoint,
        rotary_dim: u32,
    ) -> Result<Option<Vec<f64>>, ConfigError> {
        let Some(tensor) = checkpoint.tensor(ROPE_FACTORS) else {
            return Ok(None);
        };
        let wanted = u64::from(rotary_dim / 2);
        if tensor.shape[..] != [wanted] || tensor.format != WeightFormat::F32 {
            let detail = format!(
                "`{ROPE_FACTORS}` is {} {:?}, but must be {} [{wanted}]",
                tensor.format,
                tensor.shape,
                WeightFormat::F32
            );
            return Err(self.contradiction(detail));
        }
        let bytes = checkpoint.data(tensor, 0..tensor.bytes)?;
        let factors: Vec<f64> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f64::from(f32::from_le_bytes(bytes)))
            .collect();
        match factors
            .iter()
            .find(|factor| !(1e-6..=1e6).contains(*factor))
        {
            Some(bad) => Err(ConfigError::Range {
                file: self.file(),
                key: ROPE_FACTORS.into(),
                value: bad.to_string(),
                must: "from 1e-6 to 1e6".into(),
            }),
            None => Ok(Some(factors)),
        }
    }
}
