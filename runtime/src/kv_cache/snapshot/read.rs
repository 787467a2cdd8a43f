//! Snapshots that are read: the header first, then the tokens, then keys and values.

use std::ops::Range;

use super::{Hashed, SnapshotError, SnapshotHeader, read_header, runs};
use crate::io::Input;

/// What a snapshot must agree with.
pub(crate) struct Requirements<'a> {
    /// [`Session::fingerprint`](crate::Session::fingerprint).
    pub fingerprint: &'a str,
    /// The size of the vocabulary.
    pub vocab: u32,
    /// The tokens that the session holds.
    pub held: &'a [u32],
    /// What the file's tokens are to be the beginning of, where something is known of them.
    pub expected: Option<&'a [u32]>,
}

/// A snapshot as far as its header.
pub(crate) struct OpenedSnapshot<'a> {
    pub header: SnapshotHeader,
    input: Hashed<&'a mut Input<'a>>,
}

impl<'a> OpenedSnapshot<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The file is damaged, or has another type of KV cache than `kv`.
    pub fn read(input: &'a mut Input<'a>, kv: &str) -> Result<Self, SnapshotError> {
        let mut input = Hashed::new(input);
        let header = read_header(&mut input)?;
        if header.kv != kv {
            return Err(foreign(
                &header,
                "the KV cache has another type; use the same --kv",
            ));
        }
        Ok(Self { header, input })
    }

    /// The position after the last one in the file.
    pub fn end(&self) -> u32 {
        self.header.first + self.header.count
    }

    /// Checks that the file is of the model with this fingerprint.
    ///
    /// # Errors
    /// It is another one's.
    pub fn check_fingerprint(&self, fingerprint: &str) -> Result<(), SnapshotError> {
        match self.header.fingerprint == fingerprint {
            true => Ok(()),
            false => Err(foreign(
                &self.header,
                "the model or its rotary embedding is another",
            )),
        }
    }
}

fn foreign(header: &SnapshotHeader, why: &'static str) -> SnapshotError {
    SnapshotError::Foreign {
        model: header.model.clone(),
        kv: header.kv.clone(),
        why,
    }
}

/// A snapshot as far as the tokens, which are compared: behind them are keys and values, and a
/// hash.
pub(crate) struct SnapshotReader<'a> {
    pub header: SnapshotHeader,
    /// All tokens up to the last saved one.
    pub ids: Vec<u32>,
    input: Hashed<&'a mut Input<'a>>,
}

impl<'a> SnapshotReader<'a> {
    /// Reads up to keys and values.
    ///
    /// # Errors
    /// The file is damaged, another model's, or of other tokens.
    pub fn begin(
        file: OpenedSnapshot<'a>,
        wanted: &Requirements<'_>,
    ) -> Result<Self, SnapshotError> {
        file.check_fingerprint(wanted.fingerprint)?;
        let (first, end) = (file.header.first as usize, file.end() as usize);
        let OpenedSnapshot { header, mut input } = file;
        let mut bytes = vec![0; 4 * end];
        input.take(&mut bytes)?;
        let ids: Vec<u32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|&id| u32::from_le_bytes(id))
            .collect();
        let differs = |known: &[u32]| ids.iter().zip(known).position(|(a, b)| a != b);
        if let Some(expected) = wanted.expected
            && let Some(at) = differs(expected).or((expected.len() < end).then_some(expected.len()))
        {
            return Err(SnapshotError::Tokens(at));
        }
        if let Some(at) = differs(wanted.held).filter(|&at| at < first) {
            return Err(SnapshotError::Tokens(at));
        }
        if wanted.held.len() < first {
            return Err(SnapshotError::Tokens(wanted.held.len()));
        }
        if ids.iter().any(|&id| id >= wanted.vocab) {
            return Err(SnapshotError::Damaged("a token does not exist"));
        }
        Ok(Self { header, ids, input })
    }

    /// The next keys or values.
    pub fn take(&mut self, into: &mut [u8]) -> Result<(), SnapshotError> {
        self.input.take(into)
    }

    /// The runs of positions that follow each other.
    pub fn runs(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        runs(self.header.first, self.header.count)
    }

    /// Checks the hash of all that was read, and that nothing follows it.
    pub fn end(self) -> Result<(SnapshotHeader, Vec<u32>), SnapshotError> {
        let Self {
            header,
            ids,
            mut input,
        } = self;
        let hash = input.hash.finalize();
        let mut found = [0; 32];
        input.take(&mut found)?;
        if hash.as_bytes() != &found {
            return Err(SnapshotError::Damaged("its hash is wrong"));
        }
        if input.inner.read(&mut [0])? != 0 {
            return Err(SnapshotError::Damaged("something follows its end"));
        }
        Ok((header, ids))
    }
}
