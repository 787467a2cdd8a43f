//! Importance matrices: how large the inputs of each matrix are, column by column, as llama.cpp's `llama-imatrix` measures it.

use std::collections::HashMap;

use godwit_shaders::Format;

use crate::format::{Fault, FormatError, Gguf, Source, Tensor};

/// What ends the names of an importance file's tensors: sums of squares, and how many inputs they are of.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// How much the error of each column of a matrix counts: the mean square of its input.
#[derive(Clone, Debug, Default)]
pub struct Importance {
    columns: HashMap<String, Vec<f32>>,
    key: String,
}

impl Importance {
    /// Reads an importance matrix in llama.cpp's GGUF format (`general.type` is `imatrix`).
    ///
    /// # Errors
    /// The file is another kind of file, or one of its numbers makes no sense.
    pub fn read(file: Box<dyn Source>) -> Result<Self, FormatError> {
        let gguf = Gguf::read(vec![file])?;
        let kind = gguf.metadata().string("general.type")?.unwrap_or("model");
        if kind != "imatrix" {
            let (expected, found) = ("`imatrix`", format!("`{}`", kind.escape_debug()));
            return Err(gguf.metadata().fault("general.type", Fault::ValueKind { expected, found }));
        }
        let mut hash = blake3::Hasher::new();
        let mut columns = HashMap::new();
        for tensor in gguf.tensors() {
            let Some(name) = tensor.name.strip_suffix(SUMS) else { continue };
            let counts = gguf.tensor(&format!("{name}{COUNTS}"));
            let count = match counts.map(|counts| floats(&gguf, counts)).transpose()? {
                // A matrix that no input ever met says nothing.
                Some(counts) => match counts.first() {
                    Some(&count) if count > 0.0 => count,
                    _ => continue,
                },
                None => return Err(fault(&gguf, tensor, Fault::KeyMissing)),
            };
            let mut means = floats(&gguf, tensor)?;
            means.iter_mut().for_each(|sum| *sum /= count);
            if let Some((index, &value)) = means.iter().enumerate().find(|(_, mean)| !mean.is_finite() || **mean < 0.0)
            {
                return Err(fault(&gguf, tensor, Fault::NotFinite { index: index as u64, value }));
            }
            hash.update(name.as_bytes());
            hash.update(bytemuck::cast_slice(&means));
            columns.insert(name.to_owned(), means);
        }
        Ok(Self { columns, key: hash.finalize().to_hex().to_string() })
    }

    /// A text that two matrices share only if they are the same.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The columns of a matrix, where they were measured and fit rows of this length.
    pub(super) fn of(&self, tensor: &Tensor) -> Option<&[f32]> {
        let width = *tensor.shape.first()?;
        self.columns.get(&tensor.name).map(Vec::as_slice).filter(|columns| columns.len() as u64 == width)
    }
}

fn fault(gguf: &Gguf, tensor: &Tensor, fault: Fault) -> FormatError {
    FormatError::tensor(gguf.metadata().file(), &tensor.name, fault)
}

fn floats(gguf: &Gguf, tensor: &Tensor) -> Result<Vec<f32>, FormatError> {
    if tensor.format != Format::F32 {
        return Err(fault(gguf, tensor, Fault::Dtype(tensor.format.name().into())));
    }
    let bytes = gguf.data(tensor, 0..tensor.bytes)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
