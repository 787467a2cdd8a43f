//! The KV cache: segments of positions that are allocated as the context grows.

use std::ops::Range;

use godwit_shaders::{BufferRef, Buffers, Caps, Heads, KvFormat, Segment};

/// Positions of the first segment. The later ones double, so that few are needed and little is empty, up to
/// [`MOST_BYTES`] for a segment's keys or values.
const FIRST_SEGMENT: u32 = 1024;
const MOST_BYTES: u64 = 64 << 20;

/// The KV caches of all layers.
#[derive(Clone, Debug)]
pub(crate) struct Kv {
    heads: Heads,
    format: KvFormat,
    layers: u32,
    context: u32,
    /// Positions of every segment, where they are all to be the same.
    fixed: Option<u32>,
    /// The most positions that one binding holds.
    most: u32,
    /// By segment, then by layer.
    segments: Vec<Vec<Segment>>,
}

impl Kv {
    /// An empty cache for `context` positions at most.
    pub fn new(heads: Heads, format: KvFormat, layers: u32, context: u32, fixed: Option<u32>, caps: &Caps) -> Self {
        let bytes = format.bytes(heads).into_iter().fold(1, u64::max);
        let most = caps.max_binding.min(caps.max_buffer).min(MOST_BYTES) / bytes / 64 * 64;
        let most = u32::try_from(most).unwrap_or(1 << 30);
        Self {
            heads,
            format,
            layers,
            context,
            fixed: fixed.map(|len| len.next_multiple_of(64)),
            most,
            segments: Vec::new(),
        }
    }

    /// Positions that there is memory for.
    pub fn capacity(&self) -> u32 {
        self.segments.last().map_or(0, |layers| layers[0].first + layers[0].len)
    }

    /// Declares the next segment's buffers.
    pub fn grow(&mut self, table: &mut Buffers) {
        let first = self.capacity();
        let len = self.fixed.unwrap_or(first.max(FIRST_SEGMENT)).min(self.most);
        // Whole tiles, and no more than the context needs.
        let len = len.min((self.context - first).next_multiple_of(64));
        let [k, v] = self.format.bytes(self.heads).map(|bytes| u64::from(len) * bytes);
        let number = self.segments.len();
        let segment = |layer: u32| Segment {
            k: table.declare(format!("k{layer}.{number}"), k),
            v: table.declare(format!("v{layer}.{number}"), v),
            first,
            len,
        };
        let layers = (0..self.layers).map(segment).collect();
        self.segments.push(layers);
    }

    /// Takes the last growth back: its buffers could not be had.
    pub fn shrink(&mut self) {
        self.segments.pop();
    }

    /// How many segments hold positions 0 to `end - 1`.
    pub fn segments_to(&self, end: u32) -> usize {
        self.segments.iter().take_while(|layers| layers[0].first < end).count()
    }

    /// The position after the last of segment `number`.
    pub fn end_of(&self, number: usize) -> u32 {
        self.segments.get(number).map_or(0, |layers| layers[0].first + layers[0].len)
    }

    /// The first `count` segments of a layer.
    pub fn layer(&self, layer: usize, count: usize) -> Vec<Segment> {
        self.segments.iter().take(count).map(|layers| layers[layer]).collect()
    }

    /// Where keys and values of positions are: for each layer, keys then values, cut at the ends of segments. The range is
    /// whole tiles of 32 positions, all of them allocated.
    pub fn parts(&self, range: Range<u32>) -> Vec<BufferRef> {
        let mut parts = Vec::new();
        for layer in 0..self.layers as usize {
            for keys in [true, false] {
                for segment in self.segments.iter().map(|layers| &layers[layer]) {
                    let begin = range.start.max(segment.first);
                    let end = range.end.min(segment.first + segment.len);
                    if begin < end {
                        let whole = if keys { segment.k } else { segment.v };
                        let each = whole.bytes / u64::from(segment.len);
                        let offset = whole.offset + u64::from(begin - segment.first) * each;
                        parts.push(BufferRef { offset, bytes: u64::from(end - begin) * each, ..whole });
                    }
                }
            }
        }
        parts
    }

    /// All segments, each with one for every layer.
    pub fn all(&self) -> impl Iterator<Item = &[Segment]> {
        self.segments.iter().map(Vec::as_slice)
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> u64 {
        u64::from(self.capacity()) * self.format.bytes(self.heads).iter().sum::<u64>() * u64::from(self.layers)
    }
}
