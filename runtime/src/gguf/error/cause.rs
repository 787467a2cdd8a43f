//! The causes of a model file's errors.

use godwit_shaders::weights::NoQuantizer;
use thiserror::Error;

use crate::io::SourceCause;

/// The causes of a model file's errors, each with a remedy.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FormatCause {
    /// Its bytes can't be read.
    #[error(transparent)]
    Source(#[from] SourceCause),
    /// No file was given.
    #[error("no model file was given")]
    NoParts,
    /// A folder where a file is wanted.
    #[error(
        "this is a folder without config.json; name a .gguf file in it, or a folder with a \
         safetensors model"
    )]
    Folder,
    /// A part that isn't next to the others.
    #[error("part {part} of {parts} is missing; put all parts into one folder")]
    PartMissing {
        /// Which, from 1.
        part: u64,
        /// How many there should be.
        parts: u64,
    },
    /// A part that doesn't go with the others.
    #[error("the parts contradict each other: {detail}; download all parts of one model again")]
    PartMismatch {
        /// How.
        detail: String,
    },
    /// Another kind of file.
    #[error("this is not a GGUF file: {found}; give a model in GGUF format")]
    Magic {
        /// The kind of file that its first bytes suggest.
        found: String,
    },
    /// A version without code for it.
    #[error(
        "GGUF version {0} is not supported; versions 2 and 3 are: convert the model again with a \
         current tool"
    )]
    Version(u32),
    /// A file for big-endian machines.
    #[error(
        "the file is big-endian, which is not supported; convert it, or download the \
         little-endian one"
    )]
    BigEndian,
    /// The file ends too early.
    #[error(
        "{what} needs {needed} bytes, but the file has {remaining} more; the file is cut short or \
         damaged: download it again"
    )]
    Truncated {
        /// The value being read.
        what: &'static str,
        /// Its size.
        needed: u64,
        /// Bytes left in the file.
        remaining: u64,
    },
    /// A count that the rest of the file can't hold.
    #[error(
        "{what} is {count}, but the {remaining} bytes that are left hold at most {most}; the file \
         is damaged: download it again"
    )]
    Count {
        /// The counted thing.
        what: &'static str,
        /// How many the file claims.
        count: u64,
        /// Bytes left in the file.
        remaining: u64,
        /// How many could fit.
        most: u64,
    },
    /// More than a sane file has.
    #[error("{what} is {count}; at most {most} is supported")]
    TooMuch {
        /// The quantity that is too large.
        what: &'static str,
        /// How large.
        count: u64,
        /// The limit.
        most: u64,
    },
    /// A string that isn't text.
    #[error("{what} is not valid UTF-8; convert the model again")]
    Utf8 {
        /// Which string.
        what: &'static str,
    },
    /// A value type that the format doesn't define.
    #[error("value type {0} is unknown; the file is damaged or newer than this program")]
    ValueType(u32),
    /// A bool other than 0 and 1.
    #[error("a bool is {0}; it must be 0 or 1")]
    Bool(u8),
    /// Arrays of arrays of arrays.
    #[error("arrays are nested more than {0} deep")]
    Nesting(u32),
    /// A key or a tensor that comes twice.
    #[error("it is there twice")]
    Duplicate,
    /// A key that must be there.
    #[error("it is missing; convert the model again")]
    KeyMissing,
    /// A value of another type.
    #[error("it is {found}, but must be {expected}")]
    ValueKind {
        /// The type that was asked for.
        expected: &'static str,
        /// The type or value in the file.
        found: String,
    },
    /// A number out of its range.
    #[error("it is {value}, but must be a number {range}")]
    OutOfRange {
        /// The number.
        value: String,
        /// The permitted values.
        range: &'static str,
    },
    /// An array of which one value is used for all layers, and whose values differ.
    #[error(
        "its values differ between layers ({first} and {other}), which is not supported; choose a \
         model whose layers are alike"
    )]
    Uneven {
        /// The first value.
        first: u64,
        /// One that is not the same.
        other: u64,
    },
    /// A list of templates, none of them the one to use.
    #[error(
        "it lists templates named {names}, and none named default; write the one to use to \
         chat_template.jinja beside it"
    )]
    NoDefaultTemplate {
        /// Their names.
        names: String,
    },
    /// An alignment that isn't one.
    #[error("the alignment is {value}; it must be a power of two from 8 to {most}")]
    Alignment {
        /// The value in the file.
        value: u64,
        /// The largest allowed.
        most: u64,
    },
    /// Too few or too many dimensions.
    #[error("it has {0} dimensions; 1 to 4 are supported")]
    Dimensions(u32),
    /// A dimension of zero.
    #[error("its shape {0:?} has a dimension of 0")]
    ZeroDimension(Vec<u64>),
    /// A storage format that Godwit has no code for.
    #[error("its type is {name} (number {number}), which is not supported; supported: {known}")]
    TensorType {
        /// The type number.
        number: u32,
        /// Its name in GGUF tools, or `unknown`.
        name: &'static str,
        /// The formats that can be read.
        known: String,
    },
    /// Rows that don't fill whole blocks.
    #[error(
        "its rows have {row} weights, which is not a multiple of {block}, the block of {format}"
    )]
    Row {
        /// The row's length.
        row: u64,
        /// The block's length.
        block: u64,
        /// The format.
        format: &'static str,
    },
    /// A size that overflows.
    #[error("its shape {0:?} has a size beyond 64 bits")]
    SizeOverflow(Vec<u64>),
    /// An offset that isn't aligned.
    #[error("its offset {offset} is not a multiple of the alignment {alignment}")]
    Misaligned {
        /// The offset within the data.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// Data beyond the end.
    #[error(
        "its {bytes} bytes at offset {offset} of the data end beyond the {available} bytes of \
         data in the file; the file is cut short or damaged: download it again"
    )]
    Extent {
        /// The tensor's offset within the data.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// The size of the data.
        available: u64,
    },
    /// Two tensors in one place.
    #[error("it overlaps the tensor `{}`; the file is damaged: download it \
        again", .0.escape_debug())]
    Overlap(String),
    /// A range beyond a tensor's end.
    #[error("bytes {start}..{end} were asked for, but it has {bytes}")]
    Range {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// The tensor's size.
        bytes: u64,
    },
    /// A JSON file that isn't one.
    #[error("it can't be used: {0}; download it again")]
    Json(String),
    /// A safetensors header that isn't one.
    #[error("this is not a safetensors file: {0}; download it again")]
    Safetensors(String),
    /// A safetensors header that describes another number of bytes.
    #[error(
        "the header describes {described} bytes, but {found} follow; the file is cut short or \
         damaged: download it again"
    )]
    DataLength {
        /// Bytes of the tensors in the header.
        described: u64,
        /// Bytes behind the header.
        found: u64,
    },
    /// A type of number that weights are not stored in.
    #[error("its type is {0}, which is not supported; supported: F32, F16, BF16")]
    Dtype(String),
    /// An index that names a file which isn't there.
    #[error(
        "it is said to be in {0:?}, but the folder has no such file; download the missing shards"
    )]
    Shard(String),
    /// An index that is wrong about a tensor.
    #[error(
        "the index says that it is here, but it is not; download the shard and the index again"
    )]
    NotInShard,
    /// A matrix of GPTQ or AWQ that makes no sense.
    #[error("{0}; download the model again")]
    Packed(String),
    /// A repository without weights.
    #[error(
        "there are no .safetensors files; convert the weights to safetensors, or give a GGUF file"
    )]
    NoWeights,
    /// Several weight files, and nothing that says what belongs together.
    #[error("model.safetensors.index.json is missing; download it")]
    NoIndex,
    /// A file or a folder that is something else than a model.
    #[error("this is {what}; {instead}")]
    Kind {
        /// The kind that was found.
        what: String,
        /// The file or folder to give instead.
        instead: String,
    },
    /// A weight that is no number.
    #[error(
        "weight {index} of row {row} is {value}; the model is damaged, or overflowed in a \
         conversion: download it again, or convert it to BF16 or F32"
    )]
    NotFinite {
        /// The row, in the file's order.
        row: u64,
        /// The weight's place in the row.
        index: u64,
        /// The value.
        value: f32,
    },
    /// A weight that the format to quantise to can't hold.
    #[error(
        "weight {index} of row {row} is {value}, which overflows {format}; keep this tensor in \
         another type, such as F32"
    )]
    Overflow {
        /// The row, in the file's order.
        row: u64,
        /// The weight's place in the row.
        index: u64,
        /// The value.
        value: f32,
        /// The format's name.
        format: &'static str,
    },
    /// A number of an importance matrix that makes no sense.
    #[error(
        "number {index} is {value}, but must be finite and not negative; measure the importance \
         matrix again"
    )]
    Importance {
        /// Its place.
        index: u64,
        /// The value.
        value: f32,
    },
    /// A format that is read only.
    #[error(transparent)]
    NoQuantizer(NoQuantizer),
}
