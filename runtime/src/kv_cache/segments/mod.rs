//! Where keys and values are: segments of positions, which are added as the context grows.

mod spilled;
#[cfg(test)]
mod tests;

use std::ops::Range;

use godwit_shaders::capabilities::WEBGPU;
use godwit_shaders::{AttentionShape, BufferRef, Buffers, Capabilities, KvFormat, Segment};

/// Positions that there is memory for at first, and on a GPU that has room for more. They double as
/// the context grows, so that little is empty; all are one segment up to [`MOST_BYTES`] for its
/// keys or values, and half of a binding.
const FIRST_SEGMENT: u32 = 1024;
const FIRST_SEGMENT_GPU: u32 = 4096;
const MOST_BYTES: u64 = 256 << 20;

/// Keys or values of some positions of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where they are on the GPU, unless they are on the host.
    pub gpu: BufferRef,
    /// Their place on the host: an allocation of the spill, and the first byte in it.
    pub host: Option<(u32, u64)>,
}

/// The segments of all layers: which buffers they lie in, or that they are on the host.
#[derive(Clone, Debug)]
pub(crate) struct KvSegments {
    heads: AttentionShape,
    format: KvFormat,
    layers: u32,
    context: u32,
    /// Positions of every segment, where they are all to be the same.
    fixed: Option<u32>,
    /// Positions of the first segment, and of the largest.
    first: u32,
    most: u32,
    /// By segment, then by layer.
    segments: Vec<Vec<Segment>>,
    /// Staging buffers for keys and values of segments on the host, which are read one layer at a
    /// time.
    staging: Option<[BufferRef; 2]>,
}

impl KvSegments {
    /// An empty cache for `context` positions at most.
    pub fn new(
        heads: AttentionShape,
        format: KvFormat,
        layers: u32,
        context: u32,
        fixed: Option<u32>,
        caps: &Capabilities,
    ) -> Self {
        let bytes = format.bytes(heads).into_iter().fold(1, u64::max);
        let most = (caps.max_binding.min(caps.max_buffer) / 2).min(MOST_BYTES) / bytes / 64 * 64;
        let roomy = !caps.cpu && caps.max_binding > WEBGPU.max_binding;
        // Where not even 64 positions fit, the buffers for them are refused; a segment of none
        // would never end a growth.
        let most = u32::try_from(most).unwrap_or(1 << 30).max(64);
        Self {
            heads,
            format,
            layers,
            context,
            fixed: fixed.map(|len| len.clamp(1, 1 << 30).next_multiple_of(64)),
            first: if roomy {
                FIRST_SEGMENT_GPU
            } else {
                FIRST_SEGMENT
            },
            most,
            segments: Vec::new(),
            staging: None,
        }
    }

    /// Positions that there is memory for.
    pub fn capacity(&self) -> u32 {
        self.segments
            .last()
            .map_or(0, |layers| layers[0].first + layers[0].len)
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers as usize
    }

    /// Bytes that so many positions' keys take in a layer, and their values.
    fn bytes_of(&self, positions: u32) -> [u64; 2] {
        self.format
            .bytes(self.heads)
            .map(|bytes| u64::from(positions) * bytes)
    }

    /// Declares buffers for the keys and values of so many positions of a layer, to be segment
    /// `number`.
    pub fn declare(
        &self,
        table: &mut Buffers,
        layer: usize,
        number: usize,
        len: u32,
    ) -> [BufferRef; 2] {
        let [k, v] = self.bytes_of(len);
        [
            table.declare(format!("k{layer}.{number}"), k),
            table.declare(format!("v{layer}.{number}"), v),
        ]
    }

    /// Declares the next segment's buffers, for `most` positions where that is said. The cache has
    /// it once it is given to [`KvSegments::push`].
    pub fn declare_next(&self, table: &mut Buffers, most: Option<u32>) -> Vec<Segment> {
        let first = self.capacity();
        let usual = match self.fixed {
            Some(len) => len.min(self.most),
            // A segment that is to be merged with those before it doubles their length.
            None if first < self.most => first.max(self.first).min(self.most - first),
            // The next ones are whole from the start: nothing is copied any more, and no more than
            // half is ever empty.
            None => self.most,
        };
        // Whole tiles, and no more than the context needs.
        let len = usual
            .min(most.unwrap_or(u32::MAX))
            .min((self.context - first).next_multiple_of(64));
        let number = self.segments.len();
        let segment = |layer| {
            let [k, v] = self.declare(table, layer, number, len);
            Segment {
                k,
                v,
                first,
                len,
                host: None,
            }
        };
        (0..self.layers()).map(segment).collect()
    }

    /// Declares the next segment and appends it, for those who allocate afterwards and give up
    /// where they can't.
    pub fn grow(&mut self, table: &mut Buffers, most: Option<u32>) {
        let layers = self.declare_next(table, most);
        self.push(layers);
    }

    /// Appends a segment whose buffers were allocated.
    pub fn push(&mut self, layers: Vec<Segment>) {
        self.segments.push(layers);
    }

    /// Whether all segments are to become one: attention is a dispatch for each.
    pub fn should_compact(&self) -> bool {
        let spilling = self.staging.is_some()
            || self
                .segments
                .iter()
                .flatten()
                .any(|segment| segment.host.is_some());
        self.fixed.is_none() && !spilling && self.segments.len() > 1 && self.capacity() <= self.most
    }

    /// Says that these segments of a layer lie in new buffers now, one after the other.
    pub fn place(&mut self, layer: usize, numbers: Range<usize>, [k, v]: [BufferRef; 2]) {
        let (mut k_at, mut v_at) = (0, 0);
        for layers in &mut self.segments[numbers] {
            let segment = &mut layers[layer];
            segment.k = BufferRef {
                offset: k_at,
                bytes: segment.k.bytes,
                ..k
            };
            segment.v = BufferRef {
                offset: v_at,
                bytes: segment.v.bytes,
                ..v
            };
            segment.host = None;
            (k_at, v_at) = (k_at + segment.k.bytes, v_at + segment.v.bytes);
        }
    }

    /// Makes one segment of all: in every layer they lie one after the other.
    pub fn compact(&mut self) {
        let len = self.capacity();
        let [k, v] = self.bytes_of(len);
        self.segments.truncate(1);
        for segment in self.segments.iter_mut().flatten() {
            (segment.len, segment.k.bytes, segment.v.bytes) = (len, k, v);
        }
    }

    /// Makes segments of `len` positions of one that is on the GPU, the last of them shorter. Where
    /// they lie stays as it is. Returns how many they are.
    pub fn split(&mut self, number: usize, len: u32) -> usize {
        let whole = &self.segments[number];
        if whole.iter().any(|segment| segment.host.is_some()) {
            return 1;
        }
        let part = |segment: &Segment, at: u32| {
            let len = len.min(segment.len - at);
            let ([k_at, v_at], [k, v]) = (self.bytes_of(at), self.bytes_of(len));
            Segment {
                k: BufferRef {
                    offset: segment.k.offset + k_at,
                    bytes: k,
                    ..segment.k
                },
                v: BufferRef {
                    offset: segment.v.offset + v_at,
                    bytes: v,
                    ..segment.v
                },
                first: segment.first + at,
                len,
                host: None,
            }
        };
        let starts = (0..whole[0].len).step_by(len as usize);
        let parts: Vec<_> = starts
            .map(|at| whole.iter().map(|segment| part(segment, at)).collect())
            .collect();
        let count = parts.len();
        self.segments.splice(number..=number, parts);
        count
    }

    /// A segment of a layer, where it is.
    pub fn segment(&self, number: usize, layer: usize) -> Segment {
        self.segments[number][layer]
    }

    /// Takes out all segments from this one on, each with one for every layer.
    pub fn cut(&mut self, number: usize) -> Vec<Vec<Segment>> {
        self.segments.split_off(number)
    }

    /// How many segments hold positions 0 to `end - 1`.
    pub fn segments_to(&self, end: u32) -> usize {
        self.segments
            .iter()
            .take_while(|layers| layers[0].first < end)
            .count()
    }

    /// The number of the segment that holds a position.
    pub fn segment_of(&self, position: u32) -> usize {
        self.segments_to(position + 1).saturating_sub(1)
    }

    /// The position after the last of segment `number`.
    pub fn end_of(&self, number: usize) -> u32 {
        self.segments
            .get(number)
            .map_or(0, |layers| layers[0].first + layers[0].len)
    }

    /// The first `count` segments of a layer.
    pub fn layer(&self, layer: usize, count: usize) -> Vec<Segment> {
        let shown = |segment: Segment| match (segment.host, self.staging) {
            (Some(_), Some([k, v])) => Segment {
                k: BufferRef {
                    bytes: segment.k.bytes,
                    ..k
                },
                v: BufferRef {
                    bytes: segment.v.bytes,
                    ..v
                },
                ..segment
            },
            _ => segment,
        };
        self.segments
            .iter()
            .take(count)
            .map(|layers| shown(layers[layer]))
            .collect()
    }

    /// Where keys and values of positions are: for each layer, keys then values, cut at the ends of
    /// segments. The range is whole tiles of 32 positions, all of them allocated.
    pub fn parts(&self, range: Range<u32>) -> Vec<Part> {
        let mut parts = Vec::new();
        for layer in 0..self.layers as usize {
            for keys in [true, false] {
                for segment in self.segments.iter().map(|layers| &layers[layer]) {
                    let begin = range.start.max(segment.first);
                    let end = range.end.min(segment.first + segment.len);
                    if begin < end {
                        let whole = if keys { segment.k } else { segment.v };
                        let each = whole.bytes / u64::from(segment.len);
                        let at = u64::from(begin - segment.first) * each;
                        let gpu = BufferRef {
                            offset: whole.offset + at,
                            bytes: u64::from(end - begin) * each,
                            ..whole
                        };
                        let values = if keys { 0 } else { segment.k.bytes };
                        parts.push(Part {
                            gpu,
                            host: segment.host.map(|allocation| (allocation, values + at)),
                        });
                    }
                }
            }
        }
        parts
    }

    /// Bytes allocated on the GPU.
    pub fn bytes(&self) -> u64 {
        let resident = self
            .segments
            .iter()
            .flatten()
            .filter(|segment| segment.host.is_none());
        let staging = self
            .staging
            .iter()
            .flatten()
            .map(|buffer| buffer.bytes)
            .sum::<u64>();
        resident
            .map(|segment| segment.k.bytes + segment.v.bytes)
            .sum::<u64>()
            + staging
    }
}
