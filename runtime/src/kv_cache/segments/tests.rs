//! Tests of segments: how they grow, are compacted, placed and split.

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
