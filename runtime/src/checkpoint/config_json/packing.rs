//! `quantization_config`: how a repository's matrices are packed, where they are.

use serde_json::Value as Json;

use super::{is_off, shown};
use crate::checkpoint::json_file::JsonFile;
use crate::checkpoint::packed::{Layout, Packing};
use crate::error::ConfigError;
use crate::gguf::FormatError;

/// The contents of `quantization_config`: 4 bits, by GPTQ or AWQ.
pub(super) fn packing(config: &JsonFile) -> Result<Option<Packing>, ConfigError> {
    let quantised = config.object("quantization_config")?;
    if let Some(mlx) = config.root.get("quantization").filter(|mlx| !is_off(mlx)) {
        let what = format!(
            "a repository that was quantised by MLX (quantization is {})",
            shown(mlx)
        );
        let instead = "give the original repository, or a GGUF file".into();
        return Err(ConfigError::Kind {
            file: config.name.clone(),
            what,
            instead,
        });
    }
    let Some(quantised) = quantised else {
        return Ok(None);
    };
    let refuse = |key: &str, value: String, known: &str| {
        let (file, key, known) = (
            config.name.clone(),
            format!("quantization_config.{key}"),
            known.into(),
        );
        Err(ConfigError::Unsupported {
            file,
            key,
            value,
            known,
        })
    };
    let text = |key: &str| {
        Ok::<_, FormatError>(
            quantised
                .string(key)?
                .unwrap_or_default()
                .to_ascii_lowercase(),
        )
    };
    let (method, format, version) = (
        text("quant_method")?,
        text("checkpoint_format")?,
        text("version")?,
    );
    let quoted = |text: &str| format!("`{}`", text.escape_debug());
    let layout = match (method.as_str(), format.as_str(), version.as_str()) {
        ("gptq", "" | "gptq", _) => Layout::Gptq {
            zeros_less_one: true,
        },
        ("gptq", "gptq_v2", _) => Layout::Gptq {
            zeros_less_one: false,
        },
        ("gptq", other, _) => return refuse("checkpoint_format", quoted(other), "gptq, gptq_v2"),
        ("awq", _, "" | "gemm") => Layout::Awq,
        ("awq", _, other) => return refuse("version", quoted(other), "gemm"),
        ("", ..) if !quantised.root.contains_key("quant_method") => {
            let whole = shown(&Json::Object(quantised.root.clone()));
            let (file, key) = (config.name.clone(), "quantization_config".into());
            let known =
                "gptq, awq, by `quant_method`; or use the original repository, or a GGUF file"
                    .into();
            return Err(ConfigError::Unsupported {
                file,
                key,
                value: whole,
                known,
            });
        }
        (other, ..) => {
            return refuse(
                "quant_method",
                quoted(other),
                "gptq, awq; or use the original repository, or a GGUF file",
            );
        }
    };
    if let Some(bits) = quantised
        .u64("bits")?
        .or(quantised.u64("w_bit")?)
        .filter(|&bits| bits != 4)
    {
        return refuse("bits", bits.to_string(), "4");
    }
    let group = quantised
        .get("group_size", "an integer", Json::as_i64)?
        .unwrap_or(128);
    match u64::try_from(group) {
        Ok(group) if group > 0 && group.is_multiple_of(32) && group <= 1 << 20 => {
            Ok(Some(Packing {
                layout,
                group: Some(group),
            }))
        }
        _ if group == -1 => Ok(Some(Packing {
            layout,
            group: None,
        })),
        _ => refuse("group_size", group.to_string(), "a multiple of 32, or -1"),
    }
}
