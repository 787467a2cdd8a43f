//! Bytes from files, from memory and from elsewhere, and files that Godwit writes and caches:
//! durable writing, private cache folders, eviction.

#[cfg(all(test, unix))]
pub(crate) mod crash;
#[cfg(not(target_arch = "wasm32"))]
pub mod durable;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod evict;
#[cfg(not(target_arch = "wasm32"))]
mod file;
#[cfg(not(target_arch = "wasm32"))]
pub mod open;
#[cfg(not(target_arch = "wasm32"))]
pub mod private;
mod reader;
mod region;
mod source;
mod stream;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod warn;

pub use error::{ContentError, FileError, SourceCause, SourceError, explained};
#[cfg(not(target_arch = "wasm32"))]
pub use file::{Access, open_file, open_file_with};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use file::{Hashing, read_checked, source, write_checked};
pub use reader::Reader;
pub use region::Region;
#[cfg(all(test, not(target_arch = "wasm32")))]
pub(crate) use source::copy_from;
pub use source::{Bytes, Identity, Source};
pub use stream::{Input, Output};

/// Marks a place where a test may kill the process. Nothing outside tests.
#[cfg(not(target_arch = "wasm32"))]
#[inline]
pub(crate) fn crash_point() {
    #[cfg(all(test, unix))]
    crash::pass();
}
