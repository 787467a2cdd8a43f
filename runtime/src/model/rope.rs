//! Rotary frequencies in f64. Sines and cosines of position × frequency are made from these, never on the GPU: at position
//! 2^20 an f32 product is off by whole radians.

use std::f64::consts::TAU;

use super::config::{Config, ConfigError, RopeScaling};

impl Config {
    /// The angle per position of each pair of numbers (`rotary_dim / 2` of them, in radians), and the number that rotated
    /// vectors are multiplied by (1 but for YaRN).
    ///
    /// # Errors
    /// When the parameters give no finite frequencies, which [`Config::read`] has ruled out.
    pub fn frequencies(&self) -> Result<(Vec<f64>, f32), ConfigError> {
        let Config { theta, rotary_dim, .. } = *self;
        let dim = f64::from(rotary_dim);
        let plain = (0..rotary_dim / 2).map(|i| theta.powf(-2.0 * f64::from(i) / dim));
        let (frequencies, scale): (Vec<f64>, f64) = match &self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|f| f / factor).collect(), 1.0),
            RopeScaling::Factors(factors) => {
                let wanted = (rotary_dim / 2) as usize;
                if factors.len() != wanted {
                    return Err(ConfigError::Rope(format!("{} factors, but {wanted} frequencies", factors.len())));
                }
                (plain.zip(factors).map(|(f, factor)| f / factor).collect(), 1.0)
            }
            &RopeScaling::Llama3 { factor, low, high, original } => {
                let slow = |f: f64| {
                    let turns = original * f / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    kept * f + (1.0 - kept) * f / factor
                };
                (plain.map(slow).collect(), 1.0)
            }
            &RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attn_factor } => {
                // The index, not whole, of the frequency that turns so often in the original window.
                let index = |turns: f64| dim * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
                let first = index(beta_fast).floor().max(0.0);
                let last = index(beta_slow).ceil().min(dim - 1.0);
                let span = (last - first).max(0.001);
                let slow = |(i, f): (usize, f64)| {
                    let slowed = ((i as f64 - first) / span).clamp(0.0, 1.0);
                    (1.0 - slowed) * f + slowed * f / factor
                };
                let length = if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
                (plain.enumerate().map(slow).collect(), length * attn_factor)
            }
        };
        let usable = |f: &f64| f.is_finite() && *f > 0.0;
        if frequencies.is_empty() || !frequencies.iter().all(usable) || !usable(&scale) {
            let detail = format!("theta {theta} and {:?} give no finite frequencies", self.scaling);
            return Err(ConfigError::Rope(detail));
        }
        Ok((frequencies, scale as f32))
    }
}
