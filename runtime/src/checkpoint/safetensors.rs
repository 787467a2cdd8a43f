//! The header of a safetensors file: its length (u64), JSON that says where each tensor lies, then the tensors' bytes.

use std::collections::HashSet;
use std::fmt;

use godwit_shaders::Format;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::format::{Fault, FormatError, Source, Tensor};

/// The largest header: a model of 100,000 tensors stays below.
const MOST_HEADER: u64 = 32 << 20;
const LENGTH: u64 = 8;
/// The most dimensions that are read; those of more than 4 are refused by name.
const MOST_DIMENSIONS: usize = 64;

/// A tensor as the file has it: its own name and row order, the shape with the length of a row first.
pub(super) struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    pub part: usize,
    pub offset: u64,
    pub bytes: u64,
}

impl Stored {
    /// The tensor under another name, where it is of floats.
    pub(super) fn floats(self, name: String, file: &str) -> Result<Tensor, FormatError> {
        let format = match self.dtype {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::BF16,
            other => return Err(FormatError::tensor(file, self.name, Fault::Dtype(format!("{other:?}")))),
        };
        let Self { shape, part, offset, bytes, .. } = self;
        Ok(Tensor { name, format, shape, part, offset, bytes })
    }
}

/// The tensors of one file. `part` is the file's number.
///
/// # Errors
/// The header is no header, or does not describe exactly the bytes behind it.
pub(super) fn tensors(source: &dyn Source, part: usize) -> Result<Vec<Stored>, FormatError> {
    let file = |fault| FormatError::file(source.name(), fault);
    let truncated = |needed, remaining| file(Fault::Truncated { what: "the header", needed, remaining });
    if source.len() < LENGTH {
        return Err(truncated(LENGTH, source.len()));
    }
    let mut length = [0; LENGTH as usize];
    source.read(0, &mut length)?;
    let header = u64::from_le_bytes(length);
    let remaining = source.len() - LENGTH;
    // Text that is no safetensors file gives absurd lengths, so what it is matters more than that it is short.
    if header > MOST_HEADER {
        let found = format!("its header would have {header} bytes, and at most {MOST_HEADER} are supported");
        return Err(file(Fault::Safetensors(found)));
    }
    if header > remaining {
        return Err(truncated(header, remaining));
    }
    let mut json = vec![0; header as usize];
    source.read(LENGTH, &mut json)?;
    let table = table(&json).map_err(|e| file(Fault::Safetensors(e.to_string())))?;
    let (start, described) = (LENGTH + header, table.data_len() as u64);
    if described != source.len() - start {
        return Err(file(Fault::DataLength { described, found: source.len() - start }));
    }
    let mut tensors = Vec::new();
    // In the order of their bytes, not of a hash table.
    for name in table.offset_keys() {
        let Some(info) = table.info(&name) else { continue };
        let tensor = |fault| FormatError::tensor(source.name(), &name, fault);
        let mut shape: Vec<u64> = info.shape.iter().map(|&n| n as u64).collect();
        shape.reverse();
        if shape.is_empty() {
            // A single number.
            shape.push(1);
        }
        if shape.len() > 4 {
            return Err(tensor(Fault::Dimensions(u32::try_from(shape.len()).unwrap_or(u32::MAX))));
        }
        if shape.contains(&0) {
            return Err(tensor(Fault::ZeroDimension(shape)));
        }
        let (begin, end) = info.data_offsets;
        let (offset, bytes) = (start + begin as u64, (end - begin) as u64);
        tensors.push(Stored { name, dtype: info.dtype, shape, part, offset, bytes });
    }
    Ok(tensors)
}

/// The table of tensors in a header. Nothing needs what the file says of itself besides, so that
/// may be anything.
///
/// The crate's own reader holds all of a header in memory as untyped values first.
fn table(json: &[u8]) -> Result<Metadata, serde_json::Error> {
    let Table(mut tensors) = serde_json::from_slice(json)?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, tensors).map_err(serde_json::Error::custom)
}

struct Table(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ABOUT: &str = "__metadata__";
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Table, A::Error> {
                let (mut all, mut names) = (Vec::new(), HashSet::new());
                while let Some(name) = entries.next_key::<String>()? {
                    if name == ABOUT {
                        entries.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("tensor {name:?} is there twice")));
                    }
                    let Entry { dtype, shape, data_offsets } = entries.next_value()?;
                    all.push((name, TensorInfo { dtype, shape: shape.0, data_offsets }));
                }
                Ok(Table(all))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A tensor in the table.
#[derive(Deserialize)]
#[serde(expecting = "a tensor's dtype, shape and data_offsets")]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

/// The dimensions of a tensor.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut all = Vec::new();
                while let Some(dimension) = list.next_element()? {
                    if all.len() == MOST_DIMENSIONS {
                        return Err(A::Error::custom(format_args!(
                            "a tensor has more than {MOST_DIMENSIONS} dimensions"
                        )));
                    }
                    all.push(dimension);
                }
                Ok(Shape(all))
            }
        }
        deserializer.deserialize_seq(List)
    }
}
