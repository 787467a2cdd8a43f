//! Files that JavaScript reads: those of the origin's private file system, picked files, and files
//! on servers.

use std::io;

use godwit::low_level::io::{Source, SourceCause, SourceError};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A file that is read synchronously, which only workers can do. */
export interface ByteFile {
  /** The file's name, for messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Fills `into` with the bytes at `offset`. Throws if they can't be read. */
  read(offset: number, into: Uint8Array): void;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// A file that is read synchronously.
    #[wasm_bindgen(typescript_type = "ByteFile")]
    pub type ByteFile;

    #[wasm_bindgen(method, getter)]
    fn name(this: &ByteFile) -> String;

    // An f64 holds sizes up to 2^53 exactly.
    #[wasm_bindgen(method, getter)]
    fn size(this: &ByteFile) -> f64;

    #[wasm_bindgen(method, catch)]
    fn read(this: &ByteFile, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;
}

/// A [`ByteFile`] as a [`Source`] of the runtime.
pub struct FileSource {
    file: ByteFile,
    name: String,
    len: u64,
}

// SAFETY: without the feature `atomics`, wasm has one thread, so no value moves to another. The
// trait requires `Send` because native code shares sources between threads.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Send for FileSource {}
// SAFETY: as above.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for FileSource {}

impl From<ByteFile> for FileSource {
    fn from(file: ByteFile) -> Self {
        Self {
            name: file.name(),
            len: file.size() as u64,
            file,
        }
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let needed = into.len() as u64;
        let remaining = self.len.saturating_sub(offset);
        if needed > remaining {
            return Err(
                SourceError::new(&self.name, SourceCause::Truncated { needed, remaining })
                    .at(offset),
            );
        }
        self.file.read(offset as f64, into).map_err(|thrown| {
            SourceError::new(
                &self.name,
                SourceCause::Io {
                    doing: "read",
                    message: message(&thrown),
                },
            )
            .at(offset)
        })
    }
}

/// The message of a thrown value.
pub fn message(thrown: &JsValue) -> String {
    let error = thrown.dyn_ref::<js_sys::Error>();
    error.map_or_else(
        || format!("{thrown:?}"),
        |error| String::from(error.message()),
    )
}

/// A file as a [`io::Read`] from its beginning.
pub struct Cursor {
    source: FileSource,
    at: u64,
}

impl From<ByteFile> for Cursor {
    fn from(file: ByteFile) -> Self {
        Self {
            source: file.into(),
            at: 0,
        }
    }
}

impl io::Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self
            .source
            .len()
            .saturating_sub(self.at)
            .min(into.len() as u64);
        self.source
            .read(self.at, &mut into[..count as usize])
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.at += count;
        Ok(count as usize)
    }
}

/// A JavaScript function as a writer. It is called with a copy of the bytes.
pub struct Sink<'a>(pub &'a js_sys::Function);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let copy = js_sys::Uint8Array::from(bytes);
        self.0
            .call1(&JsValue::NULL, &copy)
            .map_err(|thrown| io::Error::other(message(&thrown)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
