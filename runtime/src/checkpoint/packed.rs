//! Matrices of 4-bit codes as GPTQ and AWQ repositories pack them: eight codes a 32-bit word, and
//! for each group of inputs and each output a half as scale and a code that stands for zero.
//!
//! `weight = scale * (code - zero)`. Where groups are runs of inputs, that is GGUF's Q4_1 but for
//! the rounding of `-scale * zero` to a half; where the inputs of a group lie scattered
//! (act-order), weights become f16.

use std::borrow::Cow;
use std::collections::HashMap;

use godwit_shaders::WeightFormat;
use half::f16;
use safetensors::Dtype;

use super::safetensors::Stored;
use crate::gguf::{FormatCause, FormatError, Tensor, slice};
use crate::io::Source;

const CODES: &str = "qweight";
const ZEROS: &str = "qzeros";
const SCALES: &str = "scales";
const GROUPS: &str = "g_idx";

/// The endings of the names of a matrix's parts.
pub(super) const PARTS: [&str; 4] = [CODES, ZEROS, SCALES, GROUPS];

/// Where AWQ puts the eight codes of a word: code `i` is in the nibble `AWQ_NIBBLES[i]`.
const AWQ_NIBBLES: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// How codes lie in their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A word holds eight inputs of one output, `[inputs / 8, outputs]`. The older files store
    /// zeros less one.
    Gptq { zeros_less_one: bool },
    /// A word holds eight outputs of one input, `[inputs, outputs / 8]`, in a shuffled order.
    Awq,
}

/// How a repository's matrices are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    pub layout: Layout,
    /// Inputs that share a scale; all of them where there is no number.
    pub group: Option<u64>,
}

/// One matrix.
pub(super) struct Packed {
    layout: Layout,
    /// As the rest of the runtime sees it: `[inputs, outputs]`.
    pub tensor: Tensor,
    codes: Stored,
    zeros: Stored,
    scales: Stored,
    /// The group of each input.
    groups: Vec<u32>,
}

impl Packed {
    /// The matrix of these parts, which must fit each other.
    pub(super) fn new(
        packing: Packing,
        name: String,
        mut parts: HashMap<&'static str, Stored>,
        shards: &[Box<dyn Source>],
    ) -> Result<Self, FormatError> {
        let file = |part: usize| shards.get(part).map_or("", |shard| shard.name());
        let at = parts.values().next().map_or(0, |stored| stored.part);
        let wrong = |cause| FormatError::tensor(file(at), &name, cause);
        let mut take = |part: &'static str, dtype: Dtype| match parts.remove(part) {
            Some(stored) if stored.dtype == dtype => Ok(Some(stored)),
            Some(stored) => Err(FormatError::tensor(
                file(stored.part),
                &stored.name,
                FormatCause::Packed(format!("its type is {:?}, not {dtype:?}", stored.dtype)),
            )),
            None => Ok(None),
        };
        let missing =
            |part: &str| wrong(FormatCause::Packed(format!("its part `{part}` is missing")));
        let codes = take(CODES, Dtype::I32)?.ok_or_else(|| missing(CODES))?;
        let zeros = take(ZEROS, Dtype::I32)?.ok_or_else(|| missing(ZEROS))?;
        let scales = take(SCALES, Dtype::F16)?.ok_or_else(|| missing(SCALES))?;
        let index = take(GROUPS, Dtype::I32)?;

        let contradiction = || {
            let shapes = [&codes, &zeros, &scales]
                .map(|stored| format!("{} {:?}", stored.name, stored.shape));
            wrong(FormatCause::Packed(format!(
                "the shapes of its parts do not fit each other: {}",
                shapes.join(", ")
            )))
        };
        let [columns, rows] = codes.shape[..] else {
            return Err(contradiction());
        };
        let of_eight = |n: u64| n.checked_mul(8).filter(|&n| n <= 1 << 24);
        let (inputs, outputs) = match packing.layout {
            Layout::Gptq { .. } => (of_eight(rows), Some(columns).filter(|&n| n <= 1 << 24)),
            Layout::Awq => (Some(rows).filter(|&n| n <= 1 << 24), of_eight(columns)),
        };
        let (Some(inputs), Some(outputs)) = (inputs, outputs) else {
            return Err(contradiction());
        };
        let group = packing.group.unwrap_or(inputs);
        let count = inputs.div_ceil(group);
        if !inputs.is_multiple_of(32)
            || !outputs.is_multiple_of(8)
            || zeros.shape != [outputs / 8, count]
            || scales.shape != [outputs, count]
            || index.as_ref().is_some_and(|index| index.shape != [inputs])
        {
            return Err(contradiction());
        }
        let regular: Vec<u32> = (0..inputs).map(|input| (input / group) as u32).collect();
        let groups = match &index {
            Some(index) => words(shards, index)?.collect(),
            None => regular.clone(),
        };
        if let Some(bad) = groups.iter().find(|&&group| u64::from(group) >= count) {
            return Err(wrong(FormatCause::Packed(format!(
                "an input belongs to group {bad} of {count}"
            ))));
        }
        let format = if groups == regular {
            WeightFormat::Q4_1
        } else {
            WeightFormat::F16
        };
        let bytes = format.bytes(inputs * outputs).ok_or_else(contradiction)?;
        let (part, offset) = (codes.part, codes.offset);
        let tensor = Tensor {
            name,
            format,
            shape: vec![inputs, outputs],
            part,
            offset,
            bytes,
        };
        Ok(Self {
            layout: packing.layout,
            tensor,
            codes,
            zeros,
            scales,
            groups,
        })
    }

    /// Appends these rows, each the weights of one output.
    pub(super) fn rows(
        &self,
        shards: &[Box<dyn Source>],
        rows: &[u64],
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let codes: Cow<'_, [u8]> = bytes(shards, &self.codes)?;
        let zeros: Cow<'_, [u8]> = bytes(shards, &self.zeros)?;
        let scales: Cow<'_, [u8]> = bytes(shards, &self.scales)?;
        let (inputs, outputs) = (self.groups.len(), self.tensor.shape[1] as usize);
        // The shapes were checked: every index is inside.
        let word = |bytes: &[u8], at: usize| {
            bytes
                .get(4 * at..4 * at + 4)
                .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        let nibble = |output: usize| match self.layout {
            Layout::Gptq { .. } => (output % 8) as u32,
            Layout::Awq => AWQ_NIBBLES[output % 8],
        };
        for &row in rows {
            let output = row as usize;
            let code = |input: usize| match self.layout {
                Layout::Gptq { .. } => {
                    word(&codes, input / 8 * outputs + output) >> (4 * (input % 8)) & 15
                }
                Layout::Awq => {
                    word(&codes, input * (outputs / 8) + output / 8) >> (4 * nibble(output)) & 15
                }
            };
            let scale = |group: usize| {
                let at = 2 * (group * outputs + output);
                f16::from_le_bytes(scales.get(at..at + 2).map_or([0, 0], |b| [b[0], b[1]]))
            };
            let zero = |group: usize| {
                let stored =
                    word(&zeros, group * (outputs / 8) + output / 8) >> (4 * nibble(output)) & 15;
                match self.layout {
                    Layout::Gptq {
                        zeros_less_one: true,
                    } => stored + 1,
                    _ => stored,
                }
            };
            if self.tensor.format == WeightFormat::F16 {
                for (input, &group) in self.groups.iter().enumerate() {
                    let group = group as usize;
                    let weight = scale(group).to_f32() * (code(input) as f32 - zero(group) as f32);
                    out.extend(f16::from_f32(weight).to_le_bytes());
                }
                continue;
            }
            for first in (0..inputs).step_by(32) {
                let group = self.groups[first] as usize;
                let scale = scale(group);
                out.extend(scale.to_le_bytes());
                out.extend(f16::from_f32(-scale.to_f32() * zero(group) as f32).to_le_bytes());
                out.extend(
                    (first..first + 16).map(|input| (code(input) | code(input + 16) << 4) as u8),
                );
            }
        }
        Ok(())
    }
}

/// All bytes of a part.
fn bytes<'a>(shards: &'a [Box<dyn Source>], stored: &Stored) -> Result<Cow<'a, [u8]>, FormatError> {
    let Stored {
        ref name,
        part,
        offset,
        bytes,
        ..
    } = *stored;
    match shards.get(part) {
        Some(source) => {
            // The caller wants bytes, whatever they mean.
            let extent = Tensor {
                name: name.clone(),
                format: WeightFormat::F32,
                shape: vec![bytes],
                part,
                offset,
                bytes,
            };
            slice(source.as_ref(), &extent, 0..bytes)
        }
        None => Err(FormatError::tensor("", name, FormatCause::NoParts)),
    }
}

fn words(
    shards: &[Box<dyn Source>],
    stored: &Stored,
) -> Result<impl Iterator<Item = u32>, FormatError> {
    let bytes = bytes(shards, stored)?.into_owned();
    let words: Vec<u32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| u32::from_le_bytes(b))
        .collect();
    Ok(words.into_iter())
}
