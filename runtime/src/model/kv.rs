//! The KV cache: segments of positions that are allocated as the context grows.

use std::ops::Range;

use godwit_shaders::caps::WEBGPU;
use godwit_shaders::{BufferRef, Buffers, Caps, Heads, KvFormat, Segment};

/// Positions of the first segment, and on a GPU that has room for more. The later ones double, so that few are needed and
/// little is empty, up to [`MOST_BYTES`] for a segment's keys or values, and half of a binding.
const FIRST_SEGMENT: u32 = 1024;
const FIRST_SEGMENT_GPU: u32 = 4096;
const MOST_BYTES: u64 = 256 << 20;

/// Keys or values of some positions of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where they are on the GPU, unless they are on the host.
    pub gpu: BufferRef,
    /// Their place on the host: a piece, and the first byte in it.
    pub host: Option<(u32, u64)>,
}

/// The KV caches of all layers.
#[derive(Clone, Debug)]
pub(crate) struct Kv {
    heads: Heads,
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
    /// Where keys and values of segments on the host are put when they are read, one layer at a time.
    pub window: Option<[BufferRef; 2]>,
}

impl Kv {
    /// An empty cache for `context` positions at most.
    pub fn new(heads: Heads, format: KvFormat, layers: u32, context: u32, fixed: Option<u32>, caps: &Caps) -> Self {
        let bytes = format.bytes(heads).into_iter().fold(1, u64::max);
        let most = (caps.max_binding.min(caps.max_buffer) / 2).min(MOST_BYTES) / bytes / 64 * 64;
        let roomy = !caps.cpu && caps.max_binding > WEBGPU.max_binding;
        let most = u32::try_from(most).unwrap_or(1 << 30);
        Self {
            heads,
            format,
            layers,
            context,
            fixed: fixed.map(|len| len.next_multiple_of(64)),
            first: if roomy { FIRST_SEGMENT_GPU } else { FIRST_SEGMENT },
            most,
            segments: Vec::new(),
            window: None,
        }
    }

    /// Positions that there is memory for.
    pub fn capacity(&self) -> u32 {
        self.segments.last().map_or(0, |layers| layers[0].first + layers[0].len)
    }

    /// Declares the next segment's buffers, for `most` positions where that is said.
    pub fn grow(&mut self, table: &mut Buffers, most: Option<u32>) {
        let first = self.capacity();
        let len = self.fixed.unwrap_or(first.max(self.first)).min(self.most).min(most.unwrap_or(u32::MAX));
        // Whole tiles, and no more than the context needs.
        let len = len.min((self.context - first).next_multiple_of(64));
        let [k, v] = self.format.bytes(self.heads).map(|bytes| u64::from(len) * bytes);
        let number = self.segments.len();
        let segment = |layer: u32| Segment {
            k: table.declare(format!("k{layer}.{number}"), k),
            v: table.declare(format!("v{layer}.{number}"), v),
            first,
            len,
            host: None,
        };
        let layers = (0..self.layers).map(segment).collect();
        self.segments.push(layers);
    }

    /// A segment, for every layer.
    pub fn segment(&self, number: usize) -> Vec<Segment> {
        self.segments[number].clone()
    }

    /// Whether a segment is on the host.
    pub fn is_on_host(&self, number: usize) -> bool {
        self.segments[number][0].host.is_some()
    }

    /// The first segment that is on the GPU.
    pub fn oldest_resident(&self) -> Option<usize> {
        self.segments.iter().position(|layers| layers[0].host.is_none())
    }

    /// Positions of a new segment once others have to leave for it: an eighth of what is on the GPU, so that little leaves at
    /// a time.
    pub fn spilling_len(&self) -> u32 {
        let resident: u32 = self.segments.iter().filter(|s| s[0].host.is_none()).map(|s| s[0].len).sum();
        (resident / 8).next_multiple_of(64).clamp(64, FIRST_SEGMENT.max(self.most))
    }

    /// Declares buffers that any segment's layer fits in.
    pub fn declare_window(&self, table: &mut Buffers) -> [BufferRef; 2] {
        let len = self.segments.iter().map(|layers| layers[0].len).max().unwrap_or(64);
        let [k, v] = self.format.bytes(self.heads).map(|bytes| u64::from(len) * bytes);
        [table.declare("k window", k), table.declare("v window", v)]
    }

    /// Says that a segment of a layer is on the host now.
    pub fn moved(&mut self, number: usize, layer: usize, piece: u32) {
        self.segments[number][layer].host = Some(piece);
    }

    /// Takes out all segments from this one on, each with one for every layer.
    pub fn cut(&mut self, number: usize) -> Vec<Vec<Segment>> {
        self.segments.split_off(number)
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
        let shown = |segment: Segment| match (segment.host, self.window) {
            (Some(_), Some([k, v])) => Segment {
                k: BufferRef { bytes: segment.k.bytes, ..k },
                v: BufferRef { bytes: segment.v.bytes, ..v },
                ..segment
            },
            _ => segment,
        };
        self.segments.iter().take(count).map(|layers| shown(layers[layer])).collect()
    }

    /// Where keys and values of positions are: for each layer, keys then values, cut at the ends of segments. The range is
    /// whole tiles of 32 positions, all of them allocated.
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
                        let offset = whole.offset + u64::from(begin - segment.first) * each;
                        let gpu = BufferRef { offset, bytes: u64::from(end - begin) * each, ..whole };
                        let values = if keys { 0 } else { segment.k.bytes };
                        parts.push(Part { gpu, host: segment.host.map(|piece| (piece, values + offset)) });
                    }
                }
            }
        }
        parts
    }

    /// Bytes allocated on the GPU.
    pub fn bytes(&self) -> u64 {
        let resident = self.segments.iter().flatten().filter(|segment| segment.host.is_none());
        let window = self.window.iter().flatten().map(|buffer| buffer.bytes).sum::<u64>();
        resident.map(|segment| segment.k.bytes + segment.v.bytes).sum::<u64>() + window
    }
}

#[cfg(test)]
mod tests {
    use godwit_shaders::KvType;

    use super::*;

    /// Llama-3-8B at 1,048,576 tokens: one layer's f16 keys alone pass 2^31 bytes, all together 2^37. No buffer, and no
    /// word's index in it, comes near a limit.
    #[test]
    fn a_million_tokens_stay_inside_every_limit() {
        let heads = Heads { heads: 32, kv_heads: 8, head_dim: 128 };
        for (kind, gib) in [(KvType::F32, 256), (KvType::F16, 128), (KvType::Q8_0, 68), (KvType::Q4_0, 36)] {
            let format = KvFormat { k: kind, v: kind, hadamard: true };
            let (mut kv, mut table) = (Kv::new(heads, format, 32, 1 << 20, None, &WEBGPU), Buffers::default());
            while kv.capacity() < 1 << 20 {
                kv.grow(&mut table, None);
            }
            assert_eq!((kv.capacity(), kv.bytes()), (1 << 20, gib << 30), "{kind}");
            let mut next = 0;
            for segment in kv.layer(31, usize::MAX) {
                assert_eq!(segment.first, next);
                next += segment.len;
                for buffer in [segment.k, segment.v] {
                    assert!(buffer.bytes <= WEBGPU.max_binding, "{kind}");
                }
            }
            // Either side of a segment's end, wherever it lies, is in the right segment and whole tiles long.
            for position in [(1 << 20) - 64, 1024, 65_536, 1 << 19] {
                let bytes: u64 = kv.parts(position - 32..position + 32).iter().map(|part| part.gpu.bytes).sum();
                assert_eq!(bytes, 64 * kv.bytes() / (1 << 20), "{kind} around {position}");
            }
        }
    }
}
