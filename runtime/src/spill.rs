//! Where KV segments go that the GPU has no room for: host memory, then a file.

use crate::saved::SavedError;

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

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let len = |piece: &Piece| match piece {
            Piece::Memory(bytes) => bytes.len() as u64,
            Piece::File { len, .. } => *len,
        };
        self.pieces.iter().flatten().map(len).sum()
    }

    /// Keeps bytes. Returns their number.
    pub fn put(&mut self, bytes: Vec<u8>) -> Result<u32, SavedError> {
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
    pub fn read(&self, id: u32, from: u64, into: &mut [u8]) -> Result<(), SavedError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        match self.pieces.get(id as usize).and_then(Option::as_ref) {
            Some(Piece::Memory(bytes)) => {
                let (from, to) = (from as usize, from as usize + into.len());
                into.copy_from_slice(bytes.get(from..to).ok_or(SavedError::Truncated)?);
                Ok(())
            }
            Some(Piece::File { offset, .. }) => self.read_file(offset + from, into),
            None => Err(SavedError::Truncated),
        }
    }

    /// Changes a piece, from `from` on.
    pub fn write(&mut self, id: u32, from: u64, bytes: &[u8]) -> Result<(), SavedError> {
        #[cfg(test)]
        crate::interrupt::at_disk()?;
        match self.pieces.get_mut(id as usize).and_then(Option::as_mut) {
            Some(Piece::Memory(own)) => {
                let (from, to) = (from as usize, from as usize + bytes.len());
                own.get_mut(from..to).ok_or(SavedError::Truncated)?.copy_from_slice(bytes);
                Ok(())
            }
            Some(Piece::File { offset, .. }) => {
                let offset = *offset + from;
                self.write_file(offset, bytes)
            }
            None => Err(SavedError::Truncated),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SavedError> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let mut file = self.file.as_ref().ok_or(SavedError::Truncated)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.write_all(bytes)?)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn read_file(&self, offset: u64, into: &mut [u8]) -> Result<(), SavedError> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = self.file.as_ref().ok_or(SavedError::Truncated)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.read_exact(into)?)
    }

    #[cfg(target_arch = "wasm32")]
    fn write_file(&mut self, _: u64, _: &[u8]) -> Result<(), SavedError> {
        Err(SavedError::Io("the memory for what the GPU has no room for is full".into()))
    }

    #[cfg(target_arch = "wasm32")]
    fn read_file(&self, _: u64, _: &mut [u8]) -> Result<(), SavedError> {
        Err(SavedError::Truncated)
    }
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
