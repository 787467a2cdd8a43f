//! Which format each tensor gets: llama.cpp's mixes, by the names people know them by.

use std::fmt;
use std::str::FromStr;

use godwit_shaders::WeightFormat;
use regex_automata::meta::Regex;
use thiserror::Error;

use super::imatrix::Importance;
use crate::checkpoint::Checkpoint;
use crate::gguf::Tensor;
use crate::setters::setters;

/// Declares [`Mix`], its list [`Mix::ALL`] and its rows from one table.
macro_rules! mixes {
    ($($mix:ident: $base:ident, $file_type:literal;)*) => {
        /// A way to quantise a whole model: a format for most matrices, and better ones where they
        /// pay.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, missing_docs, reason = "the names of llama.cpp's file types")]
        pub enum Mix { $($mix,)* }

        impl Mix {
            /// All of them, small to large within each family.
            pub const ALL: [Mix; [$($file_type,)*].len()] = [$(Mix::$mix,)*];

            /// The name, the format of most matrices, and the number in GGUF's `general.file_type`.
            const fn row(self) -> (&'static str, WeightFormat, u32) {
                match self {
                    $(Mix::$mix => (stringify!($mix), WeightFormat::$base, $file_type),)*
                }
            }
        }
    };
}

// Name: format of most matrices, number in `general.file_type`.
mixes! {
    F32: F32, 0;
    F16: F16, 1;
    BF16: BF16, 32;
    Q4_0: Q4_0, 2;
    Q4_1: Q4_1, 3;
    Q5_0: Q5_0, 8;
    Q5_1: Q5_1, 9;
    Q8_0: Q8_0, 7;
    Q2_K_S: Q2_K, 21;
    Q2_K: Q2_K, 10;
    Q3_K_S: Q3_K, 11;
    Q3_K_M: Q3_K, 12;
    Q3_K_L: Q3_K, 13;
    Q4_K_S: Q4_K, 14;
    Q4_K_M: Q4_K, 15;
    Q5_K_S: Q5_K, 16;
    Q5_K_M: Q5_K, 17;
    Q6_K: Q6_K, 18;
}

impl Mix {
    /// The name, such as `Q4_K_M`.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The number in GGUF's `general.file_type`.
    pub const fn file_type(self) -> u32 {
        self.row().2
    }

    /// The format of a matrix, before its row length is looked at. `layer` of `layers`, `group`
    /// query heads for each KV head; `head`: it is the output head, or the embedding that serves as
    /// one.
    fn format(self, part: &str, head: bool, layer: u32, layers: u32, group: u32) -> WeightFormat {
        use WeightFormat::{Q3_K, Q4_K, Q5_K, Q6_K, Q8_0};
        let base = self.row().1;
        // The first and the last eighth of the layers, and every third between.
        let more = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        match (self, part) {
            (Mix::F32 | Mix::F16 | Mix::BF16 | Mix::Q8_0, _) => base,
            _ if head => Q6_K,
            (Mix::Q2_K, "attn_v") if group >= 4 => Q4_K,
            (Mix::Q2_K_S, "attn_v") if group >= 4 => Q4_K,
            (Mix::Q2_K, "attn_v" | "ffn_down" | "attn_output") => Q3_K,
            (Mix::Q2_K_S, "ffn_down") if layer < layers / 8 => Q4_K,
            (Mix::Q3_K_M, "attn_v") => {
                if layer < 2 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            (Mix::Q3_K_M, "ffn_down") => {
                if layer < layers / 16 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            (Mix::Q3_K_M, "attn_output") => Q4_K,
            (Mix::Q3_K_L, "attn_v" | "ffn_down" | "attn_output") => Q5_K,
            (Mix::Q4_K_S, "attn_v") if layer < 4 => Q5_K,
            (Mix::Q4_K_S, "ffn_down") if layer < layers / 8 => Q5_K,
            (Mix::Q4_K_M | Mix::Q5_K_M, "attn_v" | "ffn_down") if more => Q6_K,
            _ if base == Q8_0 => Q8_0,
            _ => base,
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no way to quantise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no type to quantise to; write one of \
    {names}", names = Mix::ALL.map(Mix::name).join(", "))]
pub struct BadMix(String);

impl FromStr for Mix {
    type Err = BadMix;

    /// A name in any case; `q3_k`, `q4_k` and `q5_k` stand for the middle mix.
    fn from_str(text: &str) -> Result<Self, BadMix> {
        let full = match text.to_ascii_uppercase() {
            short if matches!(short.as_str(), "Q3_K" | "Q4_K" | "Q5_K") => format!("{short}_M"),
            other => other,
        };
        Mix::ALL
            .into_iter()
            .find(|mix| mix.name() == full)
            .ok_or_else(|| BadMix(text.into()))
    }
}

/// A format for the tensors whose names match.
#[derive(Clone, Debug)]
pub struct Override {
    text: String,
    names: Regex,
    format: WeightFormat,
}

/// A text that is no [`Override`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}`: {cause}; write REGEX=FORMAT, such as attn_v=q8_0")]
pub struct BadOverride {
    text: String,
    cause: String,
}

impl FromStr for Override {
    type Err = BadOverride;

    fn from_str(text: &str) -> Result<Self, BadOverride> {
        let bad = |cause: String| BadOverride {
            text: text.into(),
            cause,
        };
        let (pattern, format) = text
            .rsplit_once('=')
            .ok_or_else(|| bad("it has no =".into()))?;
        let known =
            WeightFormat::writable().find(|known| known.name().eq_ignore_ascii_case(format));
        let format = known.ok_or_else(|| {
            let names: Vec<_> = WeightFormat::writable().map(WeightFormat::name).collect();
            bad(format!("`{format}` is none of {}", names.join(", ")))
        })?;
        let names = Regex::new(pattern).map_err(|e| {
            bad(e
                .syntax_error()
                .map_or_else(|| e.to_string(), ToString::to_string))
        })?;
        Ok(Self {
            text: text.into(),
            names,
            format,
        })
    }
}

/// A mix, and what to do otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recipe {
    /// The mix.
    pub mix: Mix,
    /// Where to depart from it; the first that matches counts.
    pub overrides: Vec<Override>,
    /// How much each column of the matrices counts, where that was measured.
    pub importance: Option<Importance>,
}

setters! { Recipe {
    mix: Mix,
    overrides: Vec<Override>,
    importance: Option<Importance>,
} }

impl From<Mix> for Recipe {
    fn from(mix: Mix) -> Self {
        Self {
            mix,
            overrides: Vec::new(),
            importance: None,
        }
    }
}

impl Recipe {
    /// A text that two recipes share only if they are the same.
    pub fn key(&self) -> String {
        let overrides: Vec<&str> = self.overrides.iter().map(|o| o.text.as_str()).collect();
        let importance = self.importance.as_ref().map_or("", Importance::key);
        format!("{} {overrides:?} {importance}", self.mix)
    }

    /// The format of a tensor of this checkpoint. Vectors stay as they are, and so does every
    /// tensor whose rows no format of the mix can hold.
    pub(super) fn format(&self, tensor: &Tensor, checkpoint: &dyn Checkpoint) -> WeightFormat {
        let width = tensor.shape.first().copied().unwrap_or(1);
        self.wanted(tensor, checkpoint)
            .map_or(tensor.format, |format| fitting(format, width))
    }

    /// The format of a matrix, before its row length is looked at. None for a vector.
    pub(super) fn wanted(
        &self,
        tensor: &Tensor,
        checkpoint: &dyn Checkpoint,
    ) -> Option<WeightFormat> {
        let [_, _] = tensor.shape[..] else {
            return None;
        };
        if let Some(other) = self
            .overrides
            .iter()
            .find(|o| o.names.is_match(&tensor.name))
        {
            return Some(other.format);
        }
        let known =
            |key: &str| u32::try_from(checkpoint.metadata().uniform(key).ok().flatten()?).ok();
        let count = |key: &str| known(key).unwrap_or(1).max(1);
        let head = match tensor.name.as_str() {
            "output.weight" => true,
            "token_embd.weight" => checkpoint.tensor("output.weight").is_none(),
            _ => false,
        };
        let (layer, part) = match tensor
            .name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((layer, part)) => (layer.parse().unwrap_or(0), part.trim_end_matches(".weight")),
            None => (0, ""),
        };
        let heads = count("llama.attention.head_count");
        let kv_heads = known("llama.attention.head_count_kv")
            .unwrap_or(heads)
            .max(1);
        Some(self.mix.format(
            part,
            head,
            layer,
            count("llama.block_count"),
            heads / kv_heads,
        ))
    }
}

/// The format, or the next better one whose blocks fill rows of this length.
fn fitting(format: WeightFormat, width: u64) -> WeightFormat {
    let fits = |format: WeightFormat| width.is_multiple_of(format.block_len() as u64);
    let fallback = format.row().short_row_fallback;
    [Some(format), fallback]
        .into_iter()
        .flatten()
        .find(|&format| fits(format))
        .unwrap_or(WeightFormat::F16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!("q4_k".parse(), Ok(Mix::Q4_K_M));
        assert_eq!("Q4_K_S".parse(), Ok(Mix::Q4_K_S));
        assert_eq!("bf16".parse(), Ok(Mix::BF16));
        assert!("q9".parse::<Mix>().is_err() && "".parse::<Mix>().is_err());
        for bad in ["attn_v", "attn_v=", "attn_v=iq4_nl", "(=q8_0"] {
            assert!(bad.parse::<Override>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_writable_format_is_the_base_of_a_mix() {
        for format in WeightFormat::writable() {
            assert!(
                Mix::ALL.into_iter().any(|mix| mix.row().1 == format),
                "{format}"
            );
        }
        assert!(
            Mix::ALL
                .into_iter()
                .all(|mix| mix.row().1.row().quantizer.is_some())
        );
    }

    #[test]
    fn rows_that_are_no_whole_blocks_get_another_format() {
        assert_eq!(fitting(WeightFormat::Q4_K, 4096), WeightFormat::Q4_K);
        assert_eq!(fitting(WeightFormat::Q4_K, 576), WeightFormat::Q5_0);
        assert_eq!(fitting(WeightFormat::Q6_K, 576), WeightFormat::Q8_0);
        assert_eq!(fitting(WeightFormat::Q8_0, 100), WeightFormat::F16);
    }

    #[test]
    fn mixes_spend_bits_where_they_pay() {
        let format = |part, layer| Mix::Q4_K_M.format(part, false, layer, 32, 4);
        let better: Vec<u32> = (0..32)
            .filter(|&layer| format("ffn_down", layer) == WeightFormat::Q6_K)
            .collect();
        assert_eq!(
            better,
            [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
        );
        assert_eq!(format("ffn_up", 0), WeightFormat::Q4_K);
        assert_eq!(Mix::Q4_K_M.format("", true, 0, 32, 4), WeightFormat::Q6_K);
        assert_eq!(Mix::Q8_0.format("", true, 0, 32, 4), WeightFormat::Q8_0);
    }
}
