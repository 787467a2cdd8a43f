//! Segments that are on the host, and the buffers by which they come to the GPU.

use godwit_shaders::{BufferRef, Buffers};

use super::{FIRST_SEGMENT, KvSegments};

impl KvSegments {
    /// Whether anything of a segment is on the host.
    pub fn is_on_host(&self, number: usize) -> bool {
        self.segments[number]
            .iter()
            .any(|segment| segment.host.is_some())
    }

    /// The first segment of which anything is on the GPU.
    pub fn oldest_resident(&self) -> Option<usize> {
        self.segments
            .iter()
            .position(|layers| layers.iter().any(|segment| segment.host.is_none()))
    }

    /// Whether anything on the GPU is in this buffer.
    pub fn uses(&self, buffer: u32) -> bool {
        let mut resident = self
            .segments
            .iter()
            .flatten()
            .filter(|segment| segment.host.is_none());
        resident.any(|segment| [segment.k.id, segment.v.id].contains(&buffer))
    }

    /// Positions of a segment once some have to leave the GPU: what fits the staging buffers. They
    /// are made for an eighth of what is on the GPU, so that little leaves at a time.
    pub fn spilling_len(&self) -> u32 {
        if let Some([k, _]) = self.staging {
            return (k.bytes / self.bytes_of(1)[0]) as u32;
        }
        let len = |number: &usize| self.segments[*number][0].len;
        let (left, resident): (Vec<_>, Vec<_>) =
            (0..self.segments.len()).partition(|&number| self.is_on_host(number));
        let eighth = resident.iter().map(len).sum::<u32>() / 8;
        let longest_left = left.iter().map(len).max().unwrap_or(64);
        eighth
            .next_multiple_of(64)
            .min(FIRST_SEGMENT.max(self.most))
            .max(longest_left)
    }

    /// Declares buffers that a layer of a segment of `len` positions fits in.
    pub fn declare_staging(&self, table: &mut Buffers, len: u32) -> [BufferRef; 2] {
        let [k, v] = self.bytes_of(len);
        [table.declare("k staging", k), table.declare("v staging", v)]
    }

    /// Whether there are staging buffers.
    pub fn has_staging(&self) -> bool {
        self.staging.is_some()
    }

    /// Takes over the staging buffers, once they are allocated.
    pub fn set_staging(&mut self, staging: [BufferRef; 2]) {
        self.staging = Some(staging);
    }

    /// Says that a segment of a layer is on the host now.
    pub fn set_spilled(&mut self, number: usize, layer: usize, allocation: u32) {
        self.segments[number][layer].host = Some(allocation);
    }
}
