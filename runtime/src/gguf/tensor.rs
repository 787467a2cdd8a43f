//! Tensors: their places in files, and their bytes.

use std::borrow::Cow;
use std::ops::Range;

use godwit_shaders::WeightFormat;

use super::error::{FormatCause, FormatError, Subject};
use crate::io::Source;

/// A tensor in a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// How its weights are stored.
    pub format: WeightFormat,
    /// Its dimensions in GGUF's order: the length of a row first.
    pub shape: Vec<u64>,
    /// Which of the model's files it is in.
    pub part: usize,
    /// Its first byte in that file.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A tensor of a type that Godwit has no code for.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignTensor {
    /// Its name.
    pub name: String,
    /// The name of its type in GGUF tools, or `unknown`.
    pub format: &'static str,
    /// Its dimensions, the length of a row first.
    pub shape: Vec<u64>,
    /// Which of the model's files it is in.
    pub part: usize,
    /// The error of those who read its weights.
    pub cause: FormatError,
}

/// Bytes of a tensor that lies in this file: borrowed where the file is mapped or in memory, else
/// read.
pub(crate) fn slice<'a>(
    source: &'a dyn Source,
    tensor: &Tensor,
    range: Range<u64>,
) -> Result<Cow<'a, [u8]>, FormatError> {
    let Range { start, end } = range;
    let cause = || {
        FormatError::tensor(
            source.name(),
            &tensor.name,
            FormatCause::Range {
                start,
                end,
                bytes: tensor.bytes,
            },
        )
    };
    if start > end || end > tensor.bytes {
        return Err(cause());
    }
    let from = tensor.offset.checked_add(start).ok_or_else(cause)?;
    let to = tensor
        .offset
        .checked_add(end)
        .filter(|&to| to <= source.len())
        .ok_or_else(cause)?;
    let len = usize::try_from(to - from).map_err(|_| cause())?;
    if let Some(all) = source.mapped() {
        source.check_unchanged()?;
        let from = usize::try_from(from).map_err(|_| cause())?;
        return all
            .get(from..)
            .and_then(|rest| rest.get(..len))
            .map(Cow::Borrowed)
            .ok_or_else(cause);
    }
    let mut bytes = vec![0; len];
    source.read(from, &mut bytes).map_err(|error| FormatError {
        subject: Subject::Tensor(tensor.name.clone()),
        ..FormatError::from(error)
    })?;
    Ok(Cow::Owned(bytes))
}
