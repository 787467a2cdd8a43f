//! Quantised matrices of a repository: several tensors each.

use std::collections::{BTreeMap, HashMap};

use super::names::gguf_name;
use crate::checkpoint::packed::{self, Packed, Packing};
use crate::checkpoint::safetensors::Stored;
use crate::format::{FormatError, Source};
use crate::model::ConfigError;

/// Moves the parts of quantised matrices out of the tensors.
pub(super) fn packed_matrices(
    shards: &[Box<dyn Source>],
    stored: Vec<Stored>,
    packing: Option<Packing>,
) -> Result<(Vec<Stored>, Vec<Packed>), FormatError> {
    let Some(packing) = packing else {
        return Ok((stored, Vec::new()));
    };
    let mut parts: BTreeMap<String, HashMap<&'static str, Stored>> = BTreeMap::new();
    let mut others = Vec::new();
    for tensor in stored {
        let part = packed::PARTS
            .into_iter()
            .find_map(|part| Some((part, tensor.name.strip_suffix(part)?.to_owned())));
        let named =
            part.and_then(|(part, base)| Some((part, gguf_name(&format!("{base}weight"))?)));
        match named {
            Some((part, name)) => {
                parts.entry(name).or_default().insert(part, tensor);
            }
            None => others.push(tensor),
        }
    }
    let packed = parts
        .into_iter()
        .map(|(name, parts)| Packed::new(packing, name, parts, shards));
    Ok((others, packed.collect::<Result<_, _>>()?))
}

/// The error where matrices are quantised and `config.json` does not state the method.
pub(super) fn unsaid_packing(
    config: &str,
    stored: &[Stored],
    has_quantize_config: bool,
) -> Option<ConfigError> {
    let packed = stored
        .iter()
        .find(|tensor| tensor.name.ends_with(".qweight"));
    let scaled = || {
        let biases = |name: &str| {
            stored
                .iter()
                .any(|tensor| tensor.name == format!("{name}.biases"))
        };
        stored
            .iter()
            .find(|tensor| tensor.name.strip_suffix(".scales").is_some_and(biases))
    };
    let (what, instead) = match (packed, has_quantize_config) {
        (Some(tensor), true) => (
            format!(
                "quantised by an old version of GPTQ or AWQ (`{}`, and quantize_config.json)",
                tensor.name
            ),
            "write what quantize_config.json says into config.json as quantization_config with a \
             quant_method, or give the \
             original repository or a GGUF file",
        ),
        (Some(tensor), false) => (
            format!(
                "quantised, by GPTQ or AWQ as it looks (`{}`), but config.json has no \
                 quantization_config",
                tensor.name
            ),
            "give the original repository or a GGUF file",
        ),
        (None, _) => (
            format!("quantised by MLX (`{}`)", scaled()?.name),
            "give the original repository or a GGUF file",
        ),
    };
    Some(ConfigError::Kind {
        file: config.into(),
        what: format!("a repository that was {what}"),
        instead: instead.into(),
    })
}
