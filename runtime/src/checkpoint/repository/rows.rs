//! Reads rows of tensors in GGUF's order.

use std::borrow::Cow;
use std::ops::Range;

use super::Repository;
use crate::checkpoint::Checkpoint as _;
use crate::gguf::{FormatCause, FormatError, Subject, Tensor, slice};

impl Repository {
    /// How many heads the rows of a tensor belong to, where their order differs from GGUF's.
    pub(super) fn rotated_heads(&self, tensor: &Tensor) -> Option<u64> {
        let heads = match tensor.name.rsplit_once(".attn_")?.1 {
            "q.weight" | "q.bias" => self.heads,
            "k.weight" | "k.bias" => self.kv_heads,
            _ => return None,
        };
        // Shapes that contradict the heads are refused before the weights are loaded.
        let rows = Self::rows(tensor);
        let half_heads = heads.checked_mul(2).filter(|&half_heads| half_heads > 0)?;
        (rows > 0 && rows.is_multiple_of(half_heads)).then_some(heads)
    }

    /// Rows of a tensor that has an order of rows: those of a matrix, the floats of a bias.
    pub(super) fn rows(tensor: &Tensor) -> u64 {
        tensor.shape.last().copied().unwrap_or(1)
    }

    /// Where a row of a tensor is in the files: transformers rotates row `i` of a head with row `i
    /// + half`, GGUF puts the two side by side.
    pub(super) fn stored_row(row: u64, rows: u64, heads: Option<u64>) -> u64 {
        let Some(heads) = heads else { return row };
        let half = rows / heads / 2;
        let (head, within) = (row / (2 * half), row % (2 * half));
        head * 2 * half + within / 2 + within % 2 * half
    }

    /// Bytes of a tensor whose rows are not in the files as they are wanted.
    pub(super) fn gathered(
        &self,
        tensor: &Tensor,
        range: Range<u64>,
    ) -> Result<Vec<u8>, FormatError> {
        let rows = Self::rows(tensor);
        let (row_bytes, heads) = (tensor.bytes / rows, self.rotated_heads(tensor));
        let (first, end) = (range.start / row_bytes, range.end.div_ceil(row_bytes));
        let order: Vec<u64> = (first..end)
            .map(|row| Self::stored_row(row, rows, heads))
            .collect();
        let mut out = Vec::with_capacity(((end - first) * row_bytes) as usize);
        match self.packed.get(&tensor.name) {
            Some(packed) => packed.rows(&self.shards, &order, &mut out)?,
            None => {
                for row in order {
                    out.extend_from_slice(
                        &self.stored(tensor, row * row_bytes..(row + 1) * row_bytes)?,
                    );
                }
            }
        }
        out.truncate((range.end - first * row_bytes) as usize);
        out.drain(..(range.start - first * row_bytes) as usize);
        Ok(out)
    }

    /// Bytes of a tensor as the files have them. Errors name the tensor as the files do.
    pub(super) fn stored(
        &self,
        tensor: &Tensor,
        range: Range<u64>,
    ) -> Result<Cow<'_, [u8]>, FormatError> {
        match self.shards.get(tensor.part) {
            Some(source) => {
                slice(source.as_ref(), tensor, range).map_err(|error| match error.subject {
                    Subject::Tensor(name) => FormatError {
                        subject: Subject::Tensor(self.own_name(&name)),
                        ..error
                    },
                    _ => error,
                })
            }
            None => Err(FormatError::tensor(
                self.name.as_str(),
                self.own_name(&tensor.name),
                FormatCause::NoParts,
            )),
        }
    }

    /// Whether two tensors are the same weights.
    pub(super) fn are_equal(&self, one: &Tensor, other: &Tensor) -> Result<bool, FormatError> {
        const WEIGHTS: u64 = 1 << 20;
        if one.shape != other.shape {
            return Ok(false);
        }
        let all: u64 = one.shape.iter().product();
        for first in (0..all).step_by(WEIGHTS as usize) {
            let last = (first + WEIGHTS).min(all);
            let mut weights = [
                vec![0.0; (last - first) as usize],
                vec![0.0; (last - first) as usize],
            ];
            for (tensor, weights) in [one, other].into_iter().zip(&mut weights) {
                let bytes = tensor.bytes / all;
                tensor
                    .format
                    .dequantize(&self.stored(tensor, first * bytes..last * bytes)?, weights);
            }
            if weights[0] != weights[1] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
