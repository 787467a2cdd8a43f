//! Pages on the host: copies of keys and values, exact to the byte.

use std::collections::{HashMap, VecDeque};

use godwit_shaders::BufferRef;

use super::sequence::HostPage;
use crate::error::Error;
use crate::gpu::{GpuMemory, Readback};

/// The pages that left the GPU.
#[derive(Default)]
pub(super) struct HostPages {
    pages: HashMap<HostPage, Copied>,
}

enum Copied {
    /// Parts that are here, and parts on their way: one for each layer's keys and values.
    Coming(Vec<Vec<u8>>, VecDeque<Readback>),
    Here(Vec<Vec<u8>>),
}

impl HostPages {
    /// Starts to copy a page's parts to the host. What is submitted later may overwrite them.
    pub async fn begin(
        &mut self,
        memory: &GpuMemory,
        to: HostPage,
        parts: &[BufferRef],
    ) -> Result<(), Error> {
        self.settle().await?;
        let mut coming = VecDeque::new();
        for &part in parts {
            coming.push_back(memory.start_read(part).await?);
        }
        self.pages.insert(to, Copied::Coming(Vec::new(), coming));
        Ok(())
    }

    /// Waits for copies of earlier pages, so that their staging buffers don't pile up.
    async fn settle(&mut self) -> Result<(), Error> {
        const MOST_COMING: usize = 8;
        let is_coming = |copied: &&mut Copied| matches!(copied, Copied::Coming(..));
        if self.pages.values_mut().filter(is_coming).count() >= MOST_COMING {
            for copied in self.pages.values_mut() {
                copied.wait().await?;
            }
        }
        Ok(())
    }

    /// Writes a page's copy to parts of the GPU, and forgets it.
    pub async fn restore(
        &mut self,
        memory: &GpuMemory,
        from: HostPage,
        parts: &[BufferRef],
    ) -> Result<(), Error> {
        let Some(copied) = self.pages.get_mut(&from) else {
            return Ok(());
        };
        for (part, bytes) in parts.iter().zip(copied.wait().await?) {
            memory.write(*part, 0, bytes).await?;
        }
        self.pages.remove(&from);
        Ok(())
    }

    /// The bytes of a page's parts.
    pub async fn read(&mut self, page: HostPage) -> Result<&[Vec<u8>], Error> {
        match self.pages.get_mut(&page) {
            Some(copied) => copied.wait().await,
            None => Ok(&[]),
        }
    }

    pub fn forget(&mut self, page: HostPage) {
        self.pages.remove(&page);
    }
}

impl Copied {
    /// The bytes of each part.
    async fn wait(&mut self) -> Result<&[Vec<u8>], Error> {
        if let Self::Coming(here, coming) = self {
            // The future may be dropped while it waits: each part is taken once.
            while let Some(readback) = coming.front_mut() {
                here.push(readback.finish().await?);
                coming.pop_front();
            }
            *self = Self::Here(std::mem::take(here));
        }
        match self {
            Self::Here(bytes) => Ok(bytes),
            Self::Coming(..) => Ok(&[]),
        }
    }
}
