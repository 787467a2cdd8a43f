//! Buffers by name and size, and parts of them. The executor of a plan allocates the buffers.

/// A range of bytes in a buffer of [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferRef {
    /// Index into [`Buffers`].
    pub id: u32,
    /// First byte; a multiple of [`BINDING_ALIGNMENT`](crate::capabilities::BINDING_ALIGNMENT).
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// The names and sizes of the buffers that plans refer to.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    entries: Vec<(String, u64)>,
}

impl Buffers {
    /// Declares a buffer of at least `bytes` bytes (rounded up to 16, and never empty).
    pub fn declare(&mut self, name: impl Into<String>, bytes: u64) -> BufferRef {
        let bytes = bytes.max(1).next_multiple_of(16);
        self.entries.push((name.into(), bytes));
        BufferRef {
            id: self.entries.len() as u32 - 1,
            offset: 0,
            bytes,
        }
    }

    /// Name and size in bytes of buffer `id`.
    pub fn get(&self, id: u32) -> Option<(&str, u64)> {
        self.entries
            .get(id as usize)
            .map(|(name, bytes)| (name.as_str(), *bytes))
    }

    /// Number of buffers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no buffer is declared.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all buffers together.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Sets the size of buffer `id` to 0, because its memory was freed.
    pub fn release(&mut self, id: u32) {
        if let Some((_, bytes)) = self.entries.get_mut(id as usize) {
            *bytes = 0;
        }
    }

    /// Removes all buffers from index `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }
}
