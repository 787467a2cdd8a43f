//! Where keys and values are: segments of positions, which are added as the context grows.

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

#[cfg(test)]
mod tests {
    use godwit_shaders::KvType;

    use super::*;

    /// Grows as a session does that has memory enough.
    fn grow(kv: &mut KvSegments, table: &mut Buffers) {
        kv.grow(table, None);
        if kv.should_compact() {
            for layer in 0..kv.layers() {
                place(kv, table, layer);
            }
            kv.compact();
        }
    }

    fn place(kv: &mut KvSegments, table: &mut Buffers, layer: usize) {
        let whole = kv.declare(table, layer, 0, kv.capacity());
        kv.place(layer, 0..kv.segments.len(), whole);
    }

    /// The lengths of a layer's segments, which follow each other without a gap.
    fn lens(kv: &KvSegments) -> Vec<u32> {
        let segments = kv.layer(kv.layers() - 1, usize::MAX);
        let mut next = 0;
        for segment in &segments {
            assert_eq!(segment.first, next);
            next += segment.len;
        }
        segments.iter().map(|segment| segment.len).collect()
    }

    /// Llama-3-8B at 1,048,576 tokens: one layer's f16 keys alone pass 2^31 bytes, all together
    /// 2^37. No buffer, and no word's index in it, comes near a limit.
    #[test]
    fn a_million_tokens_stay_inside_every_limit() {
        let heads = AttentionShape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
        };
        for (kind, gib) in [
            (KvType::F32, 256),
            (KvType::F16, 128),
            (KvType::Q8_0, 68),
            (KvType::Q4_0, 36),
        ] {
            let format = KvFormat {
                k: kind,
                v: kind,
                hadamard: true,
            };
            let (mut kv, mut table) = (
                KvSegments::new(heads, format, 32, 1 << 20, None, &WEBGPU),
                Buffers::default(),
            );
            while kv.capacity() < 1 << 20 {
                grow(&mut kv, &mut table);
            }
            assert_eq!((kv.capacity(), kv.bytes()), (1 << 20, gib << 30), "{kind}");
            assert_eq!(lens(&kv).iter().sum::<u32>(), 1 << 20, "{kind}");
            for segment in kv.layer(31, usize::MAX) {
                for buffer in [segment.k, segment.v] {
                    assert!(buffer.bytes <= WEBGPU.max_binding, "{kind}");
                }
            }
            // Either side of a segment's end, wherever it lies, is in the right segment and whole
            // tiles long.
            for position in [(1 << 20) - 64, 1024, 65_536, 1 << 19] {
                let bytes: u64 = kv
                    .parts(position - 32..position + 32)
                    .iter()
                    .map(|part| part.gpu.bytes)
                    .sum();
                assert_eq!(
                    bytes,
                    64 * kv.bytes() / (1 << 20),
                    "{kind} around {position}"
                );
            }
        }
    }

    /// Two layers of 128 bytes of keys a position, and as many of values; segments of 4,096
    /// positions at most.
    fn small(context: u32, fixed: Option<u32>) -> KvSegments {
        let heads = AttentionShape {
            heads: 1,
            kv_heads: 1,
            head_dim: 64,
        };
        let caps = Capabilities {
            max_binding: 1 << 20,
            ..WEBGPU
        };
        KvSegments::new(heads, KvFormat::default(), 2, context, fixed, &caps)
    }

    #[test]
    fn one_segment_doubles_until_it_is_full() {
        let (mut kv, mut table) = (small(14_000, None), Buffers::default());
        let mut grown = Vec::new();
        while kv.capacity() < 14_000 {
            grow(&mut kv, &mut table);
            grown.push(lens(&kv));
        }
        let last = [4096, 4096, 4096, 1728];
        assert_eq!(
            grown,
            [&[1024][..], &[2048], &[4096], &last[..2], &last[..3], &last]
        );
        assert_eq!(
            (
                kv.segments_to(1),
                kv.segments_to(4096),
                kv.segments_to(4097)
            ),
            (1, 1, 2)
        );
        assert_eq!(
            (kv.end_of(0), kv.end_of(3), kv.bytes()),
            (4096, 14_016, 14_016 * 512)
        );

        // No more than the context needs.
        let (mut kv, mut table) = (small(1100, None), Buffers::default());
        grow(&mut kv, &mut table);
        grow(&mut kv, &mut table);
        assert_eq!(lens(&kv), [1152]);
        // Segments of a length that was asked for stay.
        let mut kv = small(1100, Some(500));
        for _ in 0..3 {
            grow(&mut kv, &mut table);
        }
        assert_eq!(lens(&kv), [512, 512, 128]);
    }

    /// Where memory ends before all layers are compact, both kinds of layers are as good.
    #[test]
    fn segments_of_a_layer_may_share_buffers() {
        let (mut kv, mut table) = (small(8192, None), Buffers::default());
        kv.grow(&mut table, None);
        kv.grow(&mut table, None);
        let old = kv.layer(0, 2);
        place(&mut kv, &mut table, 0);
        assert_eq!(lens(&kv), [1024, 1024]);
        assert!(!kv.uses(old[1].k.id) && kv.uses(kv.layer(1, 2)[1].k.id));
        let parts: Vec<_> = kv
            .parts(960..1088)
            .iter()
            .map(|part| (part.gpu.offset, part.gpu.bytes))
            .collect();
        let (end, next, apart) = ((960 * 128, 64 * 128), (1024 * 128, 64 * 128), (0, 64 * 128));
        assert_eq!(parts, [end, next, end, next, end, apart, end, apart]);

        // On the host, what was a segment begins at 0 again.
        kv.set_spilled(1, 0, 7);
        assert!(kv.is_on_host(1) && kv.oldest_resident() == Some(0) && !kv.should_compact());
        let parts = kv.parts(1056..1088);
        assert_eq!(
            [parts[0].host, parts[1].host, parts[2].host],
            [Some((7, 32 * 128)), Some((7, 1056 * 128)), None]
        );
    }

    #[test]
    fn a_segment_is_split_where_it_lies() {
        let (mut kv, mut table) = (small(8192, None), Buffers::default());
        grow(&mut kv, &mut table);
        grow(&mut kv, &mut table);
        assert_eq!(kv.spilling_len(), 256);
        assert_eq!((kv.split(0, 768), lens(&kv)), (3, vec![768, 768, 512]));
        let last = kv.segment(2, 1);
        assert_eq!(
            (last.first, last.v.offset, last.v.bytes),
            (1536, 1536 * 128, 512 * 128)
        );
        kv.set_spilled(0, 1, 0);
        assert_eq!(
            (kv.split(0, 64), kv.spilling_len()),
            (1, 768),
            "what left stays as it is"
        );
        let staging = kv.declare_staging(&mut table, 768);
        kv.set_staging(staging);
        assert_eq!(kv.spilling_len(), 768);
    }
}
