//! A checkpoint whose weights are quantised as they are read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use godwit_shaders::WeightFormat;

use super::recipe::Recipe;
use crate::checkpoint::{Checkpoint, Place};
use crate::error::Error;
use crate::gguf::{FormatCause, FormatError, Metadata, Tensor};
use crate::model::Model;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Counted up where the same recipe makes other bytes of the same weights than before.
const QUANTIZED_VERSION: u32 = 2;

/// Weights that one task quantises at a time: half a megabyte of floats.
const AT_ONCE: u64 = 1 << 17;

/// Another checkpoint in other formats. Nothing is kept: who reads twice, quantises twice.
pub struct Quantized {
    inner: Arc<dyn Checkpoint>,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
    recipe: Recipe,
}

impl Model {
    /// The model with its weights quantised by this recipe, each time they are read.
    /// `Model::quantized` keeps them.
    #[must_use]
    pub fn as_quantized(&self, recipe: &Recipe) -> Self {
        self.with_quantized(
            Arc::new(Quantized::new(self.shared_checkpoint(), recipe)),
            recipe,
        )
    }

    /// The same model with the weights that this recipe makes of its own.
    pub(super) fn with_quantized(&self, checkpoint: Arc<dyn Checkpoint>, recipe: &Recipe) -> Self {
        self.with_weights(
            checkpoint,
            format!("quantized {QUANTIZED_VERSION} {}", recipe.key()),
        )
    }
}

impl Quantized {
    /// The checkpoint by this recipe.
    pub fn new(inner: Arc<dyn Checkpoint>, recipe: &Recipe) -> Self {
        let change = |tensor: &Tensor| {
            let format = recipe.format(tensor, inner.as_ref());
            let weights = tensor.shape.iter().product();
            match format.bytes(weights) {
                Some(bytes) => Tensor {
                    format,
                    bytes,
                    ..tensor.clone()
                },
                None => tensor.clone(),
            }
        };
        let tensors: Vec<Tensor> = inner.tensors().iter().map(change).collect();
        let index = tensors
            .iter()
            .enumerate()
            .map(|(at, tensor)| (tensor.name.clone(), at))
            .collect();
        Self {
            tensors,
            index,
            recipe: recipe.clone(),
            inner,
        }
    }

    /// Tensors that get another format than the recipe has for them, because their rows are no
    /// whole blocks of it: the wanted format, the one instead, and how many.
    pub fn substitutions(&self) -> Vec<(WeightFormat, WeightFormat, usize)> {
        let mut all: Vec<(WeightFormat, WeightFormat, usize)> = Vec::new();
        for (from, to) in self.inner.tensors().iter().zip(&self.tensors) {
            let wanted = self.recipe.wanted(from, self.inner.as_ref());
            let Some(wanted) = wanted.filter(|&wanted| wanted != to.format) else {
                continue;
            };
            match all
                .iter_mut()
                .find(|(a, b, _)| (*a, *b) == (wanted, to.format))
            {
                Some((.., count)) => *count += 1,
                None => all.push((wanted, to.format, 1)),
            }
        }
        all
    }

    /// The formats of the original that have lost precision already and become others, with the
    /// number of their tensors: what is made of them is worse than what is made of the model as
    /// published.
    pub fn lossy_originals(&self) -> Vec<(WeightFormat, usize)> {
        let is_lossy = |format: WeightFormat| format.block_len() > 1;
        let count = |format| {
            let pairs = self.inner.tensors().iter().zip(&self.tensors);
            let changed =
                |(from, to): &(&Tensor, &Tensor)| from.format == format && to.format != format;
            (format, pairs.filter(changed).count())
        };
        WeightFormat::ALL
            .into_iter()
            .filter(|&format| is_lossy(format))
            .map(count)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Quantises whole rows from `first` on.
    fn rows(
        &self,
        from: &Tensor,
        to: &Tensor,
        first: u64,
        out: &mut [u8],
    ) -> Result<(), FormatError> {
        let width = to.shape.first().copied().unwrap_or(1);
        let row_bytes = |tensor: &Tensor| tensor.format.bytes(width).unwrap_or(tensor.bytes);
        let (from_row, to_row) = (row_bytes(from), row_bytes(to));
        let at_once = (AT_ONCE / width).max(1);
        each_chunk(out, (at_once * to_row) as usize, |number, out| {
            let row = first + number as u64 * at_once;
            let rows = out.len() as u64 / to_row;
            let stored = self
                .inner
                .data(from, row * from_row..(row + rows) * from_row)?;
            let mut weights = vec![0.0; (rows * width) as usize];
            from.format.dequantize(&stored, &mut weights);
            let place = |at: u64| (self.inner.place(from, row + at / width), at % width);
            if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
                let (Place { file, tensor, row }, index) = place(at as u64);
                return Err(FormatError::tensor(
                    file,
                    tensor,
                    FormatCause::NotFinite {
                        row,
                        index,
                        value: weights[at],
                    },
                ));
            }
            let importance = self
                .recipe
                .importance
                .as_ref()
                .and_then(|importance| importance.of(to));
            let mut rows = weights
                .chunks_exact(width as usize)
                .zip(out.chunks_exact_mut(to_row as usize));
            rows.try_for_each(|(weights, out)| to.format.quantize(weights, importance, out))
                .map_err(|error| {
                    let (Place { file, tensor, .. }, _) = place(0);
                    FormatError::tensor(file, tensor, FormatCause::NoQuantizer(error))
                })?;
            // The largest weight of a block made its scale.
            let Some((at, _)) = to.format.first_not_finite(out) else {
                return Ok(());
            };
            let first = at / to.format.block_len() * to.format.block_len();
            let block = &weights[first..][..to.format.block_len()];
            let largest = block
                .iter()
                .enumerate()
                .max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()));
            let (within, value) =
                largest.map_or((0, f32::INFINITY), |(within, &value)| (within, value));
            let (Place { file, tensor, row }, index) = place((first + within) as u64);
            Err(FormatError::tensor(
                file,
                tensor,
                FormatCause::Overflow {
                    row,
                    index,
                    value,
                    format: to.format.name(),
                },
            ))
        })
    }
}

/// Calls `each` with every chunk of `out` and its number, on all cores.
#[cfg(not(target_arch = "wasm32"))]
fn each_chunk<E: Send>(
    out: &mut [u8],
    len: usize,
    each: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    use rayon::prelude::*;
    out.par_chunks_mut(len)
        .enumerate()
        .try_for_each(|(number, chunk)| each(number, chunk))
}

#[cfg(target_arch = "wasm32")]
fn each_chunk<E>(
    out: &mut [u8],
    len: usize,
    each: impl Fn(usize, &mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    out.chunks_mut(len)
        .enumerate()
        .try_for_each(|(number, chunk)| each(number, chunk))
}

impl Checkpoint for Quantized {
    fn kind(&self) -> String {
        format!("{} as {}", self.inner.kind(), self.recipe.mix)
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).and_then(|&at| self.tensors.get(at))
    }

    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        let from = self.inner.tensor(&tensor.name).unwrap_or(tensor);
        let Range { start, end } = range;
        if from.format == tensor.format {
            return self.inner.data(from, range);
        }
        if start > end || end > tensor.bytes {
            let (needed, remaining) = (
                end.saturating_sub(start),
                tensor.bytes.saturating_sub(start),
            );
            return Err(FormatError::file(
                &tensor.name,
                FormatCause::Truncated {
                    what: "a read",
                    needed,
                    remaining,
                },
            )
            .at(start));
        }
        if start == end {
            return Ok(Cow::Owned(Vec::new()));
        }
        let width = tensor.shape.first().copied().unwrap_or(1);
        let row_bytes = tensor.format.bytes(width).unwrap_or(tensor.bytes);
        let (first, last) = (start / row_bytes, end.div_ceil(row_bytes));
        let mut out = vec![0; ((last - first) * row_bytes) as usize];
        self.rows(from, tensor, first, &mut out)?;
        out.truncate((end - first * row_bytes) as usize);
        out.drain(..(start - first * row_bytes) as usize);
        Ok(Cow::Owned(out))
    }

    fn place(&self, tensor: &Tensor, row: u64) -> Place {
        self.inner
            .place(self.inner.tensor(&tensor.name).unwrap_or(tensor), row)
    }

    fn files(&self) -> Vec<&str> {
        self.inner.files()
    }

    fn file_bytes(&self) -> u64 {
        self.inner.file_bytes()
    }

    fn paths(&self) -> Vec<std::path::PathBuf> {
        self.inner.paths()
    }

    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        self.inner.tokenizer()
    }

    fn tokenizer_keys(&self) -> Result<Metadata, TokenizerError> {
        self.inner.tokenizer_keys()
    }

    fn own_name(&self, tensor: &str) -> String {
        self.inner.own_name(tensor)
    }

    fn unnamed_tensors(&self) -> &[String] {
        self.inner.unnamed_tensors()
    }

    fn obstacles(&self) -> &[Error] {
        self.inner.obstacles()
    }

    fn check_weights(&self) -> Result<(), Error> {
        self.inner.check_weights()
    }

    fn notes(&self) -> &[String] {
        self.inner.notes()
    }
}
