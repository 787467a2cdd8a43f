//! Snapshots that are written.

use std::io;

use super::{Hashed, MAGIC, MOST_HEADER, SnapshotHeader, VERSION};
use crate::io::Output;

/// A snapshot that is being written: header and tokens first, then keys and values run by run, then
/// its hash.
pub(crate) struct SnapshotWriter<'a> {
    out: Hashed<&'a mut Output<'a>>,
}

impl<'a> SnapshotWriter<'a> {
    /// Writes the header, and the ids of all tokens up to the last saved one.
    ///
    /// # Errors
    /// Writing fails, or the header is too long.
    pub fn begin(
        out: &'a mut Output<'a>,
        header: &SnapshotHeader,
        ids: &[u32],
    ) -> io::Result<Self> {
        let json = serde_json::to_vec(header).map_err(io::Error::other)?;
        if json.len() > MOST_HEADER as usize {
            let len = json.len();
            let message =
                format!("the conversation has {len} bytes, and {MOST_HEADER} can be saved at most");
            return Err(io::Error::other(message));
        }
        let mut out = Hashed::new(out);
        out.put(MAGIC)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&(json.len() as u32).to_le_bytes())?;
        out.put(&json)?;
        for ids in ids.chunks(1 << 14) {
            out.put(
                &ids.iter()
                    .flat_map(|id| id.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )?;
        }
        Ok(Self { out })
    }

    /// Writes the next keys or values.
    ///
    /// # Errors
    /// Writing fails.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.put(bytes)
    }

    /// Writes the hash.
    ///
    /// # Errors
    /// Writing fails.
    pub fn end(self) -> io::Result<()> {
        let Hashed { inner, hash } = self.out;
        inner.write_all(hash.finalize().as_bytes())?;
        inner.flush()
    }
}
