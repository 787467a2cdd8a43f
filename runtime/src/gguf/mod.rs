//! GGUF files, read without trust.
//!
//! Every count, length and offset is compared with the real length of the file before anything is
//! allocated for it, and every error is a [`FormatError`] that names the file, the byte, and the
//! key or tensor. There are no threads and no file system here: bytes come from a
//! [`Source`](crate::io::Source).

mod error;
mod file;
mod metadata;
mod reader;
mod tensor;
mod write;

pub use error::{FormatCause, FormatError, Subject};
pub use file::Gguf;
pub use metadata::{Array, Metadata, Value};
pub(crate) use reader::Reader;
pub(crate) use tensor::slice;
pub use tensor::{ForeignTensor, Tensor};
pub use write::GgufWriter;
