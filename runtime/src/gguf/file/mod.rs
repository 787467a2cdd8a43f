//! GGUF: a header, metadata, a table of tensors, and their bytes; possibly in several files.
//!
//! The format: `GGUF`, version (u32), tensor count and key count (u64), the keys, the table, then
//! aligned data.

mod head;
mod parts;
mod table;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::error::{FormatCause, FormatError};
use super::metadata::Metadata;
use super::tensor::{ForeignTensor, Tensor, slice};
use crate::io::Source;
use head::Head;
use parts::check_parts;

/// One model: the metadata and the tensor table of all its files.
pub struct Gguf {
    parts: Vec<Box<dyn Source>>,
    version: u32,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    foreign: Vec<ForeignTensor>,
    index: HashMap<String, usize>,
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf")
            .field("parts", &self.part_names())
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

impl Gguf {
    /// Reads the metadata and the tensor tables of a model's files, the first part first. No
    /// weights are read.
    ///
    /// # Errors
    /// Names the file, the byte, and the key or tensor that is wrong.
    pub fn read(parts: Vec<Box<dyn Source>>) -> Result<Gguf, FormatError> {
        Self::read_heads(parts, false)
    }

    /// [`Gguf::read`], for those who look at a model and do not run it: tensors of types without
    /// code are in [`Gguf::foreign_tensors`].
    ///
    /// # Errors
    /// As [`Gguf::read`], but for such types.
    pub fn read_to_inspect(parts: Vec<Box<dyn Source>>) -> Result<Gguf, FormatError> {
        Self::read_heads(parts, true)
    }

    fn read_heads(parts: Vec<Box<dyn Source>>, takes_foreign: bool) -> Result<Gguf, FormatError> {
        let mut heads = Vec::new();
        for (part, source) in parts.iter().enumerate() {
            heads.push(Head::read(source.as_ref(), part, takes_foreign)?);
        }
        check_parts(&heads)?;
        let mut heads = heads.into_iter();
        let Some(first) = heads.next() else {
            return Err(FormatError::file("model", FormatCause::NoParts));
        };
        let (mut tensors, mut foreign) = (first.tensors, first.foreign);
        for head in heads {
            tensors.extend(head.tensors);
            foreign.extend(head.foreign);
        }
        let mut index = HashMap::with_capacity(tensors.len());
        for (at, tensor) in tensors.iter().enumerate() {
            if index.insert(tensor.name.clone(), at).is_some() {
                let file = parts.get(tensor.part).map_or("", |part| part.name());
                return Err(FormatError::tensor(
                    file,
                    &tensor.name,
                    FormatCause::Duplicate,
                ));
            }
        }
        Ok(Gguf {
            parts,
            version: first.version,
            metadata: first.metadata,
            tensors,
            foreign,
            index,
        })
    }

    /// The metadata, which is that of the first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The GGUF version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The files.
    pub fn parts(&self) -> &[Box<dyn Source>] {
        &self.parts
    }

    /// The names of the files.
    pub fn part_names(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.name()).collect()
    }

    /// The size of all files together.
    pub fn file_bytes(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| part.len())
            .fold(0, u64::saturating_add)
    }

    /// All tensors, in the files' order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Tensors of types that Godwit has no code for; none where they are errors.
    pub fn foreign_tensors(&self) -> &[ForeignTensor] {
        &self.foreign
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).and_then(|&at| self.tensors.get(at))
    }

    /// Bytes of a tensor: borrowed where the file is mapped or in memory, else read.
    ///
    /// # Errors
    /// When the range goes beyond the tensor's end or the file can't be read.
    pub fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        match self.parts.get(tensor.part) {
            Some(source) => slice(source.as_ref(), tensor, range),
            None => Err(FormatError::tensor(
                "model",
                &tensor.name,
                FormatCause::NoParts,
            )),
        }
    }
}
