//! What `config.json` says of biases, held against the tensors.

use super::Repository;
use crate::checkpoint::Checkpoint as _;
use crate::checkpoint::json_file::JsonFile;
use crate::error::ConfigError;
use crate::gguf::{FormatError, Tensor};

impl Repository {
    /// Holds what `config.json` says of biases against the tensors. Where it says that there are
    /// none, those of zeros are left out; others are an obstacle.
    pub(super) fn check_biases(&mut self, config: &JsonFile) -> Result<(), FormatError> {
        for (key, part) in [("attention_bias", ".attn_"), ("mlp_bias", ".ffn_")] {
            let said = config.bool(key)?;
            let is_bias =
                |tensor: &Tensor| tensor.name.contains(part) && tensor.name.ends_with(".bias");
            let biases: Vec<Tensor> = self
                .tensors
                .iter()
                .filter(|tensor| is_bias(tensor))
                .cloned()
                .collect();
            let detail = match (said, biases.first()) {
                (Some(true), None) => format!("{key} is true, but there are no such tensors"),
                (Some(false), Some(_)) => {
                    let mut other = None;
                    for bias in &biases {
                        if !self.is_zero(bias)? {
                            other = Some(self.own_name(&bias.name));
                            break;
                        }
                    }
                    match other {
                        Some(name) => {
                            format!("{key} is false, but there is `{name}`, which is not zero")
                        }
                        None => {
                            self.tensors.retain(|tensor| !is_bias(tensor));
                            self.index_tensors();
                            continue;
                        }
                    }
                }
                _ => continue,
            };
            self.obstacles.push(
                ConfigError::Contradiction {
                    file: config.name().into(),
                    detail,
                }
                .into(),
            );
        }
        Ok(())
    }

    /// Whether all weights of a tensor of floats are zero.
    fn is_zero(&self, tensor: &Tensor) -> Result<bool, FormatError> {
        let stored = self.stored(tensor, 0..tensor.bytes)?;
        let mut weights = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        tensor.format.dequantize(&stored, &mut weights);
        Ok(weights.iter().all(|&weight| weight == 0.0))
    }
}
