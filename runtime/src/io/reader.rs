//! Bytes from anything that reads and seeks.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use super::error::{SourceCause, SourceError};
use super::region::check_range;
use super::source::Source;

/// A source over a reader: an entry of an archive, a file of a virtual file system.
///
/// Reads take turns: each seeks, then reads. The bytes must not change while the model is in use.
pub struct Reader<R> {
    name: String,
    len: u64,
    inner: Mutex<R>,
}

impl<R: Read + Seek + Send> Reader<R> {
    /// All bytes of a reader, under a name for messages.
    ///
    /// # Errors
    /// The reader can't say where it ends, or is empty.
    pub fn new(name: impl Into<String>, mut reader: R) -> Result<Self, SourceError> {
        let name = name.into();
        let len = match reader.seek(SeekFrom::End(0)) {
            Ok(0) => return Err(SourceError::new(name, SourceCause::Empty)),
            Ok(len) => len,
            Err(error) => {
                return Err(SourceError::new(name, io("find the end", &error)));
            }
        };
        Ok(Self {
            name,
            len,
            inner: Mutex::new(reader),
        })
    }
}

impl<R: Read + Seek + Send> Source for Reader<R> {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        check_range(&self.name, self.len, offset, into.len())?;
        // A poisoned lock holds no broken state: each read seeks first.
        let mut reader = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| reader.read_exact(into))
            .map_err(|error| SourceError::new(&self.name, io("read", &error)).at(offset))
    }
}

fn io(doing: &'static str, error: &std::io::Error) -> SourceCause {
    SourceCause::Io {
        doing,
        message: error.to_string(),
    }
}
