//! The header of a safetensors file: its length (u64), JSON that says where each tensor lies, then
//! the tensors' bytes.

use std::collections::HashSet;
use std::fmt;

use godwit_shaders::WeightFormat;
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::gguf::{FormatCause, FormatError, Tensor};
use crate::io::Source;

/// The largest header: a model of 100,000 tensors stays below.
const MOST_HEADER: u64 = 32 << 20;
const LENGTH: u64 = 8;
/// The most dimensions that are read; those of more than 4 are refused by name.
const MOST_DIMENSIONS: usize = 64;

/// A tensor as the file has it: its own name and row order, the shape with the length of a row
/// first.
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
            Dtype::F32 => WeightFormat::F32,
            Dtype::F16 => WeightFormat::F16,
            Dtype::BF16 => WeightFormat::BF16,
            other => {
                return Err(FormatError::tensor(
                    file,
                    self.name,
                    FormatCause::Dtype(format!("{other:?}")),
                ));
            }
        };
        let Self {
            shape,
            part,
            offset,
            bytes,
            ..
        } = self;
        Ok(Tensor {
            name,
            format,
            shape,
            part,
            offset,
            bytes,
        })
    }
}

/// The tensors of one file. `part` is the file's number.
///
/// # Errors
/// The header is no header, or does not describe exactly the bytes behind it.
pub(super) fn tensors(source: &dyn Source, part: usize) -> Result<Vec<Stored>, FormatError> {
    let file = |cause| FormatError::file(source.name(), cause);
    let truncated = |needed, remaining| {
        file(FormatCause::Truncated {
            what: "the header",
            needed,
            remaining,
        })
    };
    if source.len() < LENGTH {
        return Err(truncated(LENGTH, source.len()));
    }
    let mut length = [0; LENGTH as usize];
    source.read(0, &mut length)?;
    let header = u64::from_le_bytes(length);
    let remaining = source.len() - LENGTH;
    // Text that is no safetensors file gives absurd lengths, so what it is matters more than that
    // it is short.
    if header > MOST_HEADER {
        let found = format!(
            "its header would have {header} bytes, and at most {MOST_HEADER} are supported"
        );
        return Err(file(FormatCause::Safetensors(found)));
    }
    if header > remaining {
        return Err(truncated(header, remaining));
    }
    let mut json = vec![0; header as usize];
    source.read(LENGTH, &mut json)?;
    let invalid = |text: String| file(FormatCause::Safetensors(text));
    let table: Table = serde_json::from_slice(&json).map_err(|error| invalid(error.to_string()))?;
    let (start, described) = (LENGTH + header, table.check().map_err(invalid)?);
    if described != source.len() - start {
        return Err(file(FormatCause::DataLength {
            described,
            found: source.len() - start,
        }));
    }
    let mut tensors = Vec::with_capacity(table.entries.len());
    for (name, entry) in table.entries {
        let tensor = |cause| FormatError::tensor(source.name(), &name, cause);
        let Entry {
            dtype,
            shape: Shape(mut shape),
            data_offsets: (begin, end),
        } = entry;
        shape.reverse();
        if shape.is_empty() {
            // A single number.
            shape.push(1);
        }
        if shape.len() > 4 {
            return Err(tensor(FormatCause::Dimensions(
                u32::try_from(shape.len()).unwrap_or(u32::MAX),
            )));
        }
        if shape.contains(&0) {
            return Err(tensor(FormatCause::ZeroDimension(shape)));
        }
        tensors.push(Stored {
            name,
            dtype,
            shape,
            part,
            offset: start + begin,
            bytes: end - begin,
        });
    }
    Ok(tensors)
}

/// The description of one tensor in a header.
///
/// The `safetensors` crate counts shapes and offsets in `usize`, which on wasm32 ends at 4 GiB:
/// less than shards of large models have. Only its names of number types are used here.
#[derive(Deserialize)]
#[serde(expecting = "a tensor's dtype, shape and data_offsets")]
struct Entry {
    dtype: Dtype,
    /// Rows first, the length of a row last.
    shape: Shape,
    /// The first byte and one past the last byte, counted from the end of the header.
    data_offsets: (u64, u64),
}

impl Entry {
    /// The bytes that the shape and the type need. `None` where they are no whole number of bytes,
    /// or more than `u64` counts.
    fn needed_bytes(&self) -> Option<u64> {
        let count = self
            .shape
            .0
            .iter()
            .try_fold(1_u64, |count, &length| count.checked_mul(length))?;
        let bits = count.checked_mul(self.dtype.bitsize() as u64)?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

/// The dimensions of a tensor, [`MOST_DIMENSIONS`] at most: a list of digits takes eight times its
/// text.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut all = Vec::new();
        while let Some(dimension) = list.next_element()? {
            if all.len() == MOST_DIMENSIONS {
                let text = format_args!("a tensor has more than {MOST_DIMENSIONS} dimensions");
                return Err(A::Error::custom(text));
            }
            all.push(dimension);
        }
        Ok(Shape(all))
    }
}

/// The tensors that a header describes.
struct Table {
    entries: Vec<(String, Entry)>,
}

impl Table {
    /// Returns the number of bytes that the tensors cover.
    ///
    /// # Errors
    /// Two tensors have one name, the bytes of tensors overlap or leave a gap, or a shape
    /// contradicts the number of bytes. The message names the tensor.
    fn check(&self) -> Result<u64, String> {
        let mut names = HashSet::with_capacity(self.entries.len());
        let mut covered = 0;
        for (name, entry) in &self.entries {
            let (begin, end) = entry.data_offsets;
            if !names.insert(name) {
                return Err(format!("two tensors are named {name:?}"));
            }
            if begin != covered || end < begin {
                return Err(format!(
                    "{name:?} has bytes {begin} to {end}, but must begin at {covered}"
                ));
            }
            if entry.needed_bytes() != Some(end - begin) {
                let Entry {
                    dtype,
                    shape: Shape(shape),
                    ..
                } = entry;
                let bytes = end - begin;
                return Err(format!(
                    "{name:?} has {bytes} bytes, which do not fit {dtype:?} of shape {shape:?}"
                ));
            }
            covered = end;
        }
        Ok(covered)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            // Nothing reads what the file says of itself, so its value may have any shape.
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value::<Entry>()?));
            }
        }
        // Headers may list tensors in another order than that of their bytes.
        entries.sort_by_key(|(_, entry)| entry.data_offsets);
        Ok(Table { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of which only the header exists; all other bytes are zeros.
    struct Sparse {
        header: Vec<u8>,
        len: u64,
    }

    impl Sparse {
        /// A file with this header and so many bytes of data.
        fn new(json: &str, data: u64) -> Self {
            let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
            Self {
                len: header.len() as u64 + data,
                header,
            }
        }
    }

    impl Source for Sparse {
        fn name(&self) -> &str {
            "sparse.safetensors"
        }

        fn len(&self) -> u64 {
            self.len
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), crate::io::SourceError> {
            crate::io::copy_from(self.name(), &self.header, offset, into)
        }
    }

    const GIB: u64 = 1 << 30;

    #[test]
    fn tensors_beyond_4_gib_lie_where_the_header_says() {
        let json = format!(
            r#"{{"last": {{"dtype": "F16", "shape": [2, 4], "data_offsets": [{}, {}]}},
                "first": {{"dtype": "F32", "shape": [{}], "data_offsets": [0, {}]}}}}"#,
            5 * GIB,
            5 * GIB + 16,
            5 * GIB / 4,
            5 * GIB,
        );
        let file = Sparse::new(&json, 5 * GIB + 16);
        let found = tensors(&file, 3).expect("it is a safetensors file");
        let start = file.header.len() as u64;
        let places: Vec<_> = found
            .iter()
            .map(|t| (t.name.as_str(), t.offset, t.bytes, t.part))
            .collect();
        assert_eq!(
            places,
            [
                ("first", start, 5 * GIB, 3),
                ("last", start + 5 * GIB, 16, 3)
            ]
        );
        assert_eq!(found[1].shape, [4, 2]);
    }

    #[test]
    fn headers_that_contradict_themselves_are_refused_by_name() {
        let entry = |shape: &str, from: u64, to: u64| {
            format!(r#"{{"dtype": "F16", "shape": {shape}, "data_offsets": [{from}, {to}]}}"#)
        };
        for (json, says) in [
            (
                format!(
                    r#"{{"a": {}, "a": {}}}"#,
                    entry("[4]", 0, 8),
                    entry("[4]", 8, 16)
                ),
                "two tensors are named",
            ),
            (
                format!(
                    r#"{{"a": {}, "b": {}}}"#,
                    entry("[4]", 0, 8),
                    entry("[4]", 9, 17)
                ),
                r#""b" has bytes 9 to 17"#,
            ),
            (
                format!(r#"{{"a": {}}}"#, entry("[4]", 8, 0)),
                r#""a" has bytes 8 to 0"#,
            ),
            (
                format!(r#"{{"a": {}}}"#, entry("[5]", 0, 8)),
                r#""a" has 8 bytes, which do not fit F16"#,
            ),
            (
                format!(r#"{{"a": {}}}"#, entry("[4294967296, 4294967296]", 0, 8)),
                "which do not fit F16",
            ),
            (
                format!(r#"{{"a": {}}}"#, entry("[-1]", 0, 8)),
                "invalid value: integer `-1`",
            ),
            ("[]".into(), "expected an object of tensors"),
        ] {
            let found = tensors(&Sparse::new(&json, 16), 0)
                .err()
                .map(|error| error.to_string());
            assert!(
                found.as_ref().is_some_and(|found| found.contains(says)),
                "{json}: {found:?}"
            );
        }
    }
}
