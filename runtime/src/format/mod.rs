//! Model files: GGUF, read without trust.
//!
//! Every count, length and offset is compared with the real length of the file before anything is
//! allocated for it, and every fault is a [`FormatError`] that names the file, the byte, and the
//! key or tensor. There are no threads and no file system here: bytes come from a [`Source`].

mod error;
mod gguf;
mod metadata;
mod reader;
mod source;
mod write;

pub use error::{Fault, FormatError, Subject};
pub use gguf::{Gguf, Tensor};
pub use metadata::{Array, Metadata, Value};
pub(crate) use reader::Reader;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use source::copy_from;
pub(crate) use source::slice;
pub use source::{Bytes, Identity, Source};
pub use write::GgufWriter;
