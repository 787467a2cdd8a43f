//! Where KV segments go that the GPU has no room for: host memory, then a file.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;

/// Why the host can't hold a KV cache that the GPU has no room for.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SpillError {
    /// The temporary file.
    #[error(
        "the GPU has no room for the KV cache, and the temporary file for it in {folder} can't be \
         {doing}: {message}; \
         make room there, name another folder with --spill-dir, or use a smaller context"
    )]
    File {
        /// The folder that the file is in.
        folder: String,
        /// The operation that failed.
        doing: &'static str,
        /// The system's message.
        message: String,
    },
    /// There is no file.
    #[error(
        "the GPU has no room for the KV cache, and the host's memory for it is full; use a \
         smaller context"
    )]
    Full,
    /// Bytes that were never there, or are gone.
    #[error("piece {0} of the KV cache is not on the host; please report it")]
    Gone(u32),
}

/// Bytes that left the GPU, each piece under a number.
pub(crate) struct Spill {
    most_in_memory: u64,
    in_memory: u64,
    pieces: Vec<Option<Piece>>,
    #[cfg(not(target_arch = "wasm32"))]
    folder: Option<std::path::PathBuf>,
    #[cfg(not(target_arch = "wasm32"))]
    file: Option<std::fs::File>,
    space: Space,
}

enum Piece {
    Memory(Vec<u8>),
    File { offset: u64, len: u64 },
}

/// Which bytes of the file are in use: all up to the end, but for holes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Space {
    end: u64,
    /// Offsets and lengths of what pieces left free: in order, with used bytes between any two and
    /// after the last.
    holes: BTreeMap<u64, u64>,
}

impl Space {
    /// Takes as many bytes: the smallest hole that has room for them, else the end.
    fn take(&mut self, len: u64) -> u64 {
        let fits = self.holes.iter().filter(|(_, hole)| **hole >= len);
        match fits
            .min_by_key(|(_, hole)| **hole)
            .map(|(offset, hole)| (*offset, *hole))
        {
            Some((offset, hole)) => {
                self.holes.remove(&offset);
                if hole > len {
                    self.holes.insert(offset + len, hole - len);
                }
                offset
            }
            None => {
                let offset = self.end;
                self.end += len;
                offset
            }
        }
    }

    /// Gives bytes back. Returns whether the file ends earlier now.
    fn give_back(&mut self, offset: u64, len: u64) -> bool {
        let (mut start, mut end) = (offset, offset + len);
        if let Some((&before, &hole)) = self.holes.range(..offset).next_back()
            && before + hole == offset
        {
            self.holes.remove(&before);
            start = before;
        }
        if let Some(hole) = self.holes.remove(&end) {
            end += hole;
        }
        if end == self.end {
            self.end = start;
            return true;
        }
        self.holes.insert(start, end - start);
        false
    }
}

/// The bytes of `len` that an access from `from` on to `count` of them touches; none where it goes
/// beyond them.
fn within(len: u64, from: u64, count: usize) -> Option<Range<u64>> {
    let end = from.checked_add(count as u64)?;
    (end <= len).then_some(from..end)
}

fn bytes_within(bytes: &[u8], from: u64, count: usize) -> Option<Range<usize>> {
    let range = within(bytes.len() as u64, from, count)?;
    Some(range.start as usize..range.end as usize)
}

impl Spill {
    /// Holds as many bytes in memory; the others go to a file that nobody else sees, and that ends
    /// with the process. It is made in `folder`, else where temporary files belong, but not in
    /// memory.
    pub fn new(most_in_memory: u64, folder: Option<PathBuf>) -> Self {
        #[cfg(target_arch = "wasm32")]
        drop(folder);
        Self {
            most_in_memory,
            in_memory: 0,
            pieces: Vec::new(),
            #[cfg(not(target_arch = "wasm32"))]
            folder,
            #[cfg(not(target_arch = "wasm32"))]
            file: None,
            space: Space::default(),
        }
    }

    /// Every write fails, as on a disk that is full.
    #[cfg(all(test, target_os = "linux"))]
    pub fn to_full_disk() -> Self {
        let full = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/full");
        Self {
            file: Some(full.expect("a device that is full")),
            ..Self::new(0, None)
        }
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
        let piece = if self.in_memory.saturating_add(len) <= self.most_in_memory {
            self.in_memory += len;
            Piece::Memory(bytes)
        } else {
            let offset = self.space.take(len);
            if let Err(error) = self.write_file(offset, &bytes) {
                self.give_back(offset, len);
                return Err(error);
            }
            Piece::File { offset, len }
        };
        self.pieces.push(Some(piece));
        Ok(self.pieces.len() as u32 - 1)
    }

    /// Forgets a piece. Its space is used again.
    pub fn forget(&mut self, id: u32) {
        match self.pieces.get_mut(id as usize).and_then(Option::take) {
            Some(Piece::Memory(bytes)) => self.in_memory -= bytes.len() as u64,
            Some(Piece::File { offset, len }) => self.give_back(offset, len),
            None => {}
        }
    }

    /// Frees space of the file; what is free at its end goes back to the disk.
    fn give_back(&mut self, offset: u64, len: u64) {
        let is_shorter = self.space.give_back(offset, len);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(file) = self.file.as_ref().filter(|_| is_shorter) {
            // A disk that does not take it back has it until the session ends.
            let _ = file.set_len(self.space.end);
        }
        #[cfg(target_arch = "wasm32")]
        let _ = is_shorter;
    }

    /// Copies a piece, from `from` on, into `into`.
    pub fn read(&self, id: u32, from: u64, into: &mut [u8]) -> Result<(), SpillError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        let gone = SpillError::Gone(id);
        match self.pieces.get(id as usize).and_then(Option::as_ref) {
            Some(Piece::Memory(bytes)) => {
                let range = bytes_within(bytes, from, into.len()).ok_or(gone)?;
                into.copy_from_slice(&bytes[range]);
                Ok(())
            }
            Some(Piece::File { offset, len }) => {
                let range = within(*len, from, into.len()).ok_or(gone)?;
                self.read_file(offset + range.start, into)
            }
            None => Err(gone),
        }
    }

    /// Changes a piece, from `from` on.
    pub fn write(&mut self, id: u32, from: u64, bytes: &[u8]) -> Result<(), SpillError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        let gone = SpillError::Gone(id);
        match self.pieces.get_mut(id as usize).and_then(Option::as_mut) {
            Some(Piece::Memory(own)) => {
                let range = bytes_within(own, from, bytes.len()).ok_or(gone)?;
                own[range].copy_from_slice(bytes);
                Ok(())
            }
            Some(Piece::File { offset, len }) => {
                let range = within(*len, from, bytes.len()).ok_or(gone)?;
                let offset = *offset + range.start;
                self.write_file(offset, bytes)
            }
            None => Err(gone),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SpillError> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let (folder, file) = make_file(self.folder.clone(), std::env::temp_dir())?;
                self.folder = Some(folder);
                none.insert(file)
            }
        };
        let written = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.write_all(bytes));
        written.map_err(|error| self.file_error("written", &error))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn read_file(&self, offset: u64, into: &mut [u8]) -> Result<(), SpillError> {
        use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom};
        let missing = || self.file_error("read", &Error::from(ErrorKind::NotFound));
        let mut file = self.file.as_ref().ok_or_else(missing)?;
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(into));
        read.map_err(|error| self.file_error("read", &error))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn file_error(&self, doing: &'static str, error: &std::io::Error) -> SpillError {
        file_error(&self.folder.clone().unwrap_or_default(), doing, error)
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

/// Makes the file: in the folder that was chosen, else in `temporary`, unless that is in memory,
/// where bytes would take the room that they were to leave: then in the user's cache folder.
/// Returns the folder too.
#[cfg(not(target_arch = "wasm32"))]
fn make_file(
    chosen: Option<PathBuf>,
    temporary: PathBuf,
) -> Result<(PathBuf, std::fs::File), SpillError> {
    use crate::io::durable::unnamed_in;
    use crate::io::private::{is_in_memory, make_private_folder, user_cache_folder};
    let make = |folder: PathBuf| match unnamed_in(&folder) {
        Ok(file) => Ok((folder, file)),
        Err(error) => Err(file_error(&folder, "created", &error)),
    };
    if let Some(folder) = chosen {
        return make(folder);
    }
    if !is_in_memory(&temporary) {
        return make(temporary);
    }
    if let Some(folder) = user_cache_folder().map(|folder| folder.join("godwit").join("spill")) {
        match make_private_folder(&folder) {
            Ok(()) if !is_in_memory(&folder) => return make(folder),
            Ok(()) => {}
            Err(error) => tracing::debug!("no temporary file there: {error}"),
        }
    }
    tracing::warn!(
        "{} is in memory, and there is no other folder for the KV cache that the GPU has no room \
         for: it takes memory; \
         name a folder on a disk with --spill-dir",
        temporary.display()
    );
    make(temporary)
}

#[cfg(not(target_arch = "wasm32"))]
fn file_error(folder: &std::path::Path, doing: &'static str, error: &std::io::Error) -> SpillError {
    SpillError::File {
        folder: folder.display().to_string(),
        doing,
        message: error.to_string(),
    }
}
