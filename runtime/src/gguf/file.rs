//! GGUF: a header, metadata, a table of tensors, and their bytes; possibly in several files.
//!
//! The format: `GGUF`, version (u32), tensor count and key count (u64), the keys, the table, then
//! aligned data.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use godwit_shaders::WeightFormat;

use super::error::{FormatCause, FormatError, Subject};
use super::metadata::Metadata;
use super::reader::Reader;
use super::tensor::{Tensor, slice};
use crate::io::{Source, SourceCause};

const ALIGNMENT: &str = "general.alignment";
const ARCHITECTURE: &str = "general.architecture";
const SPLIT_COUNT: &str = "split.count";
const SPLIT_NO: &str = "split.no";
const SPLIT_TENSORS: &str = "split.tensors.count";

/// The alignment of a file that doesn't say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment: twice any page size in use.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// An empty key (8), a type (4), a value (1).
const LEAST_ENTRY: u64 = 13;
/// An empty name (8), a count (4), a dimension (8), a type (4), an offset (8).
const LEAST_ROW: u64 = 32;

/// One model: the metadata and the tensor table of all its files.
pub struct Gguf {
    parts: Vec<Box<dyn Source>>,
    version: u32,
    metadata: Metadata,
    tensors: Vec<Tensor>,
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
        let mut heads = Vec::new();
        for (part, source) in parts.iter().enumerate() {
            heads.push(Head::read(source.as_ref(), part)?);
        }
        check_parts(&heads)?;
        let mut heads = heads.into_iter();
        let Some(first) = heads.next() else {
            return Err(FormatError::file("model", FormatCause::NoParts));
        };
        let tensors: Vec<Tensor> = first
            .tensors
            .into_iter()
            .chain(heads.flat_map(|head| head.tensors))
            .collect();
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

/// The header of one file.
struct Head {
    version: u32,
    metadata: Metadata,
    tensors: Vec<Tensor>,
}

impl Head {
    fn read(source: &dyn Source, part: usize) -> Result<Head, FormatError> {
        if source.is_empty() {
            return Err(FormatError::file(
                source.name(),
                FormatCause::Source(SourceCause::Empty),
            ));
        }
        let mut reader = Reader::new(source);
        let version = read_version(&mut reader)?;
        let tensor_count = reader.count("the number of tensors", LEAST_ROW)?;
        let entry_count = reader.count("the number of metadata keys", LEAST_ENTRY)?;
        let mut metadata = Metadata::new(source.name());
        let mut alignment = DEFAULT_ALIGNMENT;
        for index in 0..entry_count {
            reader.subject = Subject::Entry(index);
            let offset = reader.offset();
            let key = reader.key()?;
            reader.subject = Subject::Key(key.clone());
            let value_offset = reader.offset();
            let value = reader.value()?;
            let is_alignment = key == ALIGNMENT;
            if !metadata.insert(key, value) {
                return Err(reader.error(offset, FormatCause::Duplicate));
            }
            if is_alignment {
                let value = metadata.u64(ALIGNMENT)?.unwrap_or(DEFAULT_ALIGNMENT);
                if !value.is_power_of_two() || !(8..=MAX_ALIGNMENT).contains(&value) {
                    return Err(reader.error(
                        value_offset,
                        FormatCause::Alignment {
                            value,
                            most: MAX_ALIGNMENT,
                        },
                    ));
                }
                alignment = value;
            }
        }
        let mut rows = Vec::new();
        for index in 0..tensor_count {
            reader.subject = Subject::Row(index);
            rows.push(read_row(&mut reader, part, alignment)?);
        }
        let tensors = place(source, rows, reader.offset(), alignment)?;
        Ok(Head {
            version,
            metadata,
            tensors,
        })
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<u32, FormatError> {
    let magic: [u8; 4] = reader.take("the magic number")?;
    if &magic != b"GGUF" {
        let found = match &magic {
            b"FUGG" => return Err(reader.error(0, FormatCause::BigEndian)),
            b"vers" => {
                "it looks like a pointer of git-lfs; fetch the file itself (git lfs pull)".into()
            }
            b"lmgg" | b"tjgg" | b"algg" => "it is of the older GGML family".into(),
            b"PK\x03\x04" => "it looks like a ZIP archive or a PyTorch checkpoint".into(),
            [b'<', ..] => "it looks like a web page, not a download".into(),
            other => format!("it starts with {:?}", other.escape_ascii().to_string()),
        };
        return Err(reader.error(0, FormatCause::Magic { found }));
    }
    let offset = reader.offset();
    let version = reader.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        swapped if swapped != 0 && swapped.trailing_zeros() >= 16 => {
            Err(reader.error(offset, FormatCause::BigEndian))
        }
        other => Err(reader.error(offset, FormatCause::Version(other))),
    }
}

/// One row of the tensor table. Its offset is still within the data.
fn read_row(reader: &mut Reader<'_>, part: usize, alignment: u64) -> Result<Tensor, FormatError> {
    let name = reader.tensor_name()?;
    reader.subject = Subject::Tensor(name.clone());
    let at = reader.offset();
    let dimensions = reader.u32("the number of dimensions")?;
    if !(1..=4).contains(&dimensions) {
        return Err(reader.error(at, FormatCause::Dimensions(dimensions)));
    }
    let shape = (0..dimensions)
        .map(|_| reader.u64("a dimension"))
        .collect::<Result<Vec<u64>, _>>()?;
    let type_at = reader.offset();
    let number = reader.u32("a tensor type")?;
    let Some(format) = WeightFormat::from_gguf_type(number) else {
        let known = WeightFormat::ALL.map(WeightFormat::name).join(", ");
        return Err(reader.error(
            type_at,
            FormatCause::TensorType {
                number,
                name: other_type(number),
                known,
            },
        ));
    };
    if shape.contains(&0) {
        return Err(reader.error(at, FormatCause::ZeroDimension(shape)));
    }
    let row = shape.first().copied().unwrap_or(0);
    let block = format.block_len() as u64;
    if !row.is_multiple_of(block) {
        return Err(reader.error(
            at,
            FormatCause::Row {
                row,
                block,
                format: format.name(),
            },
        ));
    }
    // Weights are counted in i64 by other tools: more can't be meant.
    let weights = shape
        .iter()
        .try_fold(1u64, |product, &dimension| product.checked_mul(dimension));
    let bytes = weights
        .filter(|&weights| weights <= i64::MAX as u64)
        .and_then(|weights| format.bytes(weights));
    let Some(bytes) = bytes else {
        return Err(reader.error(at, FormatCause::SizeOverflow(shape)));
    };
    let offset_at = reader.offset();
    let offset = reader.u64("a tensor's offset")?;
    if !offset.is_multiple_of(alignment) {
        return Err(reader.error(offset_at, FormatCause::Misaligned { offset, alignment }));
    }
    Ok(Tensor {
        name,
        format,
        shape,
        part,
        offset,
        bytes,
    })
}

/// Turns offsets within the data into offsets in the file, and checks that no two tensors share
/// bytes.
fn place(
    source: &dyn Source,
    mut rows: Vec<Tensor>,
    head: u64,
    alignment: u64,
) -> Result<Vec<Tensor>, FormatError> {
    // Nothing overflows: the head is below `MAX_HEAD`, the alignment below `MAX_ALIGNMENT`.
    let start = head.next_multiple_of(alignment);
    let available = source.len().saturating_sub(start);
    for tensor in &mut rows {
        let Tensor { offset, bytes, .. } = *tensor;
        if offset.checked_add(bytes).is_none_or(|end| end > available) {
            let cause = FormatCause::Extent {
                offset,
                bytes,
                available,
            };
            return Err(FormatError::tensor(source.name(), &tensor.name, cause)
                .at(start.saturating_add(offset)));
        }
        tensor.offset = start + offset;
    }
    let mut order: Vec<&Tensor> = rows.iter().collect();
    order.sort_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        if let [first, second] = pair
            && first.offset + first.bytes > second.offset
        {
            let cause = FormatCause::Overlap(first.name.clone());
            return Err(FormatError::tensor(source.name(), &second.name, cause).at(second.offset));
        }
    }
    Ok(rows)
}

/// Checks that the files are all parts of one model, in order.
fn check_parts(heads: &[Head]) -> Result<(), FormatError> {
    let Some(first) = heads.first() else {
        return Ok(());
    };
    let parts = heads.len() as u64;
    for (at, head) in heads.iter().enumerate() {
        let meta = &head.metadata;
        let count = meta.u64(SPLIT_COUNT)?;
        if parts == 1 && count.unwrap_or(1) <= 1 && meta.u64(SPLIT_NO)?.unwrap_or(0) == 0 {
            continue;
        }
        if parts == 1
            && let Some(count) = count.filter(|&count| count > 1)
        {
            let part = meta.u64(SPLIT_NO)?.map_or_else(
                || "one part".into(),
                |part| format!("part {}", part.saturating_add(1)),
            );
            return Err(FormatError::file(
                meta.file(),
                FormatCause::Kind {
                    what: format!("{part} of a model that is split into {count} files"),
                    instead: format!(
                        "put all of them into one folder by the names they were made with, \
                         NAME-00001-of-{count:05}.gguf \
                         and so on, and give any of them"
                    ),
                },
            ));
        }
        let mismatch =
            |key: &str, detail: String| Err(meta.cause(key, FormatCause::PartMismatch { detail }));
        match count {
            Some(count) if count == parts => {}
            Some(count) => {
                return mismatch(
                    SPLIT_COUNT,
                    format!("it says {count} parts, but {parts} are here"),
                );
            }
            None => {
                return mismatch(
                    SPLIT_COUNT,
                    format!("the key is missing, but {parts} parts are here"),
                );
            }
        }
        match meta.u64(SPLIT_NO)? {
            Some(number) if number == at as u64 => {}
            Some(number) => {
                return mismatch(SPLIT_NO, format!("it says {number}, but its place is {at}"));
            }
            None => return mismatch(SPLIT_NO, "the key is missing".into()),
        }
        if let (Some(own), Some(wanted)) = (
            meta.string(ARCHITECTURE)?,
            first.metadata.string(ARCHITECTURE)?,
        ) && own != wanted
        {
            return mismatch(
                ARCHITECTURE,
                format!("it is `{own}`, but `{wanted}` in the first part"),
            );
        }
    }
    let found: u64 = heads.iter().map(|head| head.tensors.len() as u64).sum();
    for head in heads {
        if let Some(count) = head
            .metadata
            .u64(SPLIT_TENSORS)?
            .filter(|&count| count != found)
        {
            let detail = format!("it says {count} tensors, but the parts here have {found}");
            return Err(head
                .metadata
                .cause(SPLIT_TENSORS, FormatCause::PartMismatch { detail }));
        }
    }
    Ok(())
}

/// The name of a tensor type that Godwit has no code for.
fn other_type(number: u32) -> &'static str {
    match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31..=33 => "Q4_0 repacked",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36..=38 => "IQ4_NL repacked",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => "unknown",
    }
}
