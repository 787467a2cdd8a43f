//! The header of one file: its version, its keys, its table of tensors.

use super::table::{Row, place, read_row};
use crate::gguf::error::{FormatCause, FormatError, Subject};
use crate::gguf::metadata::Metadata;
use crate::gguf::reader::Reader;
use crate::gguf::tensor::{ForeignTensor, Tensor};
use crate::io::{Source, SourceCause};

const ALIGNMENT: &str = "general.alignment";
/// The alignment of a file that doesn't say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment: twice any page size in use.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// An empty key (8), a type (4), a value (1).
const LEAST_ENTRY: u64 = 13;
/// An empty name (8), a count (4), a dimension (8), a type (4), an offset (8).
const LEAST_ROW: u64 = 32;

/// The header of one file.
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<Tensor>,
    pub(super) foreign: Vec<ForeignTensor>,
}

impl Head {
    /// Reads the header of a file. `takes_foreign`: tensor types without code are no error.
    pub(super) fn read(
        source: &dyn Source,
        part: usize,
        takes_foreign: bool,
    ) -> Result<Head, FormatError> {
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
        let (mut rows, mut foreign) = (Vec::new(), Vec::new());
        for index in 0..tensor_count {
            reader.subject = Subject::Row(index);
            match read_row(&mut reader, part, alignment, takes_foreign)? {
                Row::Tensor(tensor) => rows.push(tensor),
                Row::Foreign(tensor) => foreign.push(tensor),
            }
        }
        let tensors = place(source, rows, reader.offset(), alignment)?;
        Ok(Head {
            version,
            metadata,
            tensors,
            foreign,
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
