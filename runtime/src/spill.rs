//! Where KV segments go that the GPU has no room for: host memory, then a file.

use thiserror::Error;

/// Why the host can't hold a KV cache that the GPU has no room for.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SpillError {
    /// The temporary file.
    #[error(
        "the GPU has no room for the KV cache, and the temporary file for it in {folder} can't be {doing}: {message}; \
         make room there, name another folder in {VARIABLE}, or use a smaller context"
    )]
    File {
        /// The folder that the file is in.
        folder: String,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        message: String,
    },
    /// There is no file.
    #[error("the GPU has no room for the KV cache, and the host's memory for it is full; use a smaller context")]
    Full,
    /// Bytes that were never there, or are gone.
    #[error("piece {0} of the KV cache is not on the host; please report it")]
    Gone(u32),
}

/// The variable that names the folder for temporary files.
const VARIABLE: &str = if cfg!(windows) { "TMP" } else { "TMPDIR" };

/// Bytes that left the GPU, each piece under a number.
pub(crate) struct Spill {
    most_in_memory: u64,
    in_memory: u64,
    pieces: Vec<Option<Piece>>,
    #[cfg(not(target_arch = "wasm32"))]
    file: Option<std::fs::File>,
    file_end: u64,
}

enum Piece {
    Memory(Vec<u8>),
    File { offset: u64, len: u64 },
}

impl Spill {
    /// Holds as many bytes in memory; the others go to a file that nobody else sees, and that ends with the process.
    pub fn new(most_in_memory: u64) -> Self {
        Self {
            most_in_memory,
            in_memory: 0,
            pieces: Vec::new(),
            #[cfg(not(target_arch = "wasm32"))]
            file: None,
            file_end: 0,
        }
    }

    /// Every write fails, as on a disk that is full.
    #[cfg(all(test, target_os = "linux"))]
    pub fn to_full_disk() -> Self {
        let full = std::fs::File::options().read(true).write(true).open("/dev/full");
        Self { file: Some(full.expect("a device that is full")), ..Self::new(0) }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let len = |piece: &Piece| match piece {
            Piece::Memory(bytes) => bytes.len() as u64,
            Piece::File { len, .. } => *len,
        };
        self.pieces.iter().flatten().map(len).sum()
    }

    /// Keeps bytes. Returns their number.
    pub fn put(&mut self, bytes: Vec<u8>) -> Result<u32, SpillError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        let len = bytes.len() as u64;
        let piece = if self.in_memory + len <= self.most_in_memory {
            self.in_memory += len;
            Piece::Memory(bytes)
        } else {
            let offset = self.file_end;
            self.write_file(offset, &bytes)?;
            self.file_end += len;
            Piece::File { offset, len }
        };
        self.pieces.push(Some(piece));
        Ok(self.pieces.len() as u32 - 1)
    }

    /// Forgets a piece. A file's space is used again by nobody: it is given back as a whole, with the session.
    pub fn forget(&mut self, id: u32) {
        if let Some(Piece::Memory(bytes)) = self.pieces.get_mut(id as usize).and_then(Option::take) {
            self.in_memory -= bytes.len() as u64;
        }
    }

    /// Copies a piece, from `from` on, into `into`.
    pub fn read(&self, id: u32, from: u64, into: &mut [u8]) -> Result<(), SpillError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        match self.pieces.get(id as usize).and_then(Option::as_ref) {
            Some(Piece::Memory(bytes)) => {
                let found = bytes.get(from as usize..).and_then(|b| b.get(..into.len()));
                into.copy_from_slice(found.ok_or(SpillError::Gone(id))?);
                Ok(())
            }
            Some(Piece::File { offset, .. }) => self.read_file(offset + from, into),
            None => Err(SpillError::Gone(id)),
        }
    }

    /// Changes a piece, from `from` on.
    pub fn write(&mut self, id: u32, from: u64, bytes: &[u8]) -> Result<(), SpillError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        match self.pieces.get_mut(id as usize).and_then(Option::as_mut) {
            Some(Piece::Memory(own)) => {
                let (from, to) = (from as usize, from as usize + bytes.len());
                own.get_mut(from..to).ok_or(SpillError::Gone(id))?.copy_from_slice(bytes);
                Ok(())
            }
            Some(Piece::File { offset, .. }) => {
                let offset = *offset + from;
                self.write_file(offset, bytes)
            }
            None => Err(SpillError::Gone(id)),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SpillError> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile().map_err(|error| file_error("created", &error))?),
        };
        let written = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        written.map_err(|error| file_error("written", &error))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn read_file(&self, offset: u64, into: &mut [u8]) -> Result<(), SpillError> {
        use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom};
        let missing = || file_error("read", &Error::from(ErrorKind::NotFound));
        let mut file = self.file.as_ref().ok_or_else(missing)?;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(into));
        read.map_err(|error| file_error("read", &error))
    }

    #[cfg(target_arch = "wasm32")]
    fn write_file(&mut self, _: u64, _: &[u8]) -> Result<(), SpillError> {
        Err(SpillError::Full)
    }

    #[cfg(target_arch = "wasm32")]
    fn read_file(&self, _: u64, _: &mut [u8]) -> Result<(), SpillError> {
        Err(SpillError::Full)
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn file_error(doing: &'static str, error: &std::io::Error) -> SpillError {
    let folder = std::env::temp_dir().display().to_string();
    SpillError::File { folder, doing, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_from_memory_and_file() {
        let mut spill = Spill::new(10);
        let small = spill.put(vec![1, 2, 3, 4, 5, 6]).expect("room in memory");
        let large = spill.put((0..50).collect()).expect("room on disk");
        let mut found = [0; 3];
        spill.write(large, 10, &[99, 98]).expect("a change");
        spill.read(large, 9, &mut found).expect("it is there");
        assert_eq!(found, [9, 99, 98]);
        spill.write(small, 4, &[7]).expect("a change");
        spill.read(small, 3, &mut found).expect("it is there");
        assert_eq!(found, [4, 7, 6]);
        assert_eq!(spill.bytes(), 56);
        spill.forget(small);
        assert!(spill.read(small, 0, &mut found).is_err());
        assert_eq!(spill.bytes(), 50);
    }
}
