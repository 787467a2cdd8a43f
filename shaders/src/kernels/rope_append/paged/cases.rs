use super::super::{rounding, tables};
use super::{Params, ROPE_APPEND_PAGED, tokens_per_workgroup};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, BatchRow, KvFormat, KvType};
use crate::testing::{Random, words};

#[derive(Clone, Copy)]
struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    /// Position and slot of each row, over two segments of [`SEGMENT_LEN`].
    rows: &'static [(u32, u32)],
    /// The segment that the dispatch covers.
    segment: u32,
}

const SEGMENT_LEN: u32 = 128;

/// Rows of several sequences in both segments, next to the borders between them and of pages, and
/// one row beyond both.
const ROWS: &[(u32, u32)] = &[
    (0, 64),
    (63, 127),
    (64, 128),
    (700, 188),
    (701, 189),
    (1500, 255),
    (65, 0),
    (2047, 5),
    (9, 256),
];

/// The heads of SmolLM2-135M.
const SMOL: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    rotary_dim: 64,
    rows: ROWS,
    segment: 0,
};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (k, v) in [
        (KvType::F16, KvType::F16),
        (KvType::F32, KvType::Q8_0),
        (KvType::Q8_0, KvType::F32),
    ] {
        let hadamard = k != KvType::F16;
        for segment in [0, 1] {
            let kv = KvFormat { k, v, hadamard };
            cases.push((Shape { segment, ..SMOL }, kv));
        }
    }
    let q8 = KvFormat {
        k: KvType::Q8_0,
        v: KvType::Q8_0,
        hadamard: true,
    };
    cases.push((
        Shape {
            heads: 8,
            kv_heads: 1,
            head_dim: 80,
            rotary_dim: 32,
            ..SMOL
        },
        q8,
    ));
    cases.push((
        Shape {
            heads: 4,
            kv_heads: 4,
            head_dim: 128,
            rotary_dim: 128,
            segment: 1,
            rows: &[(1_048_575, 200)],
        },
        q8,
    ));
    let on_all_variants = |(shape, kv)| {
        (0..ROPE_APPEND_PAGED.variants.len()).map(move |variant| case(variant, shape, kv))
    };
    cases.into_iter().flat_map(on_all_variants).collect()
}

fn case(variant: usize, shape: Shape, kv: KvFormat) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        rows,
        segment,
    } = shape;
    let attention = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let window = rows.iter().map(|(position, _)| position + 1).max();
    let window = window.unwrap_or_default().next_multiple_of(1024);
    let [k_words, v_words] = kv.words(head_dim);
    let [k_block, v_block] = kv.blocks(head_dim);
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        segment_start: segment * SEGMENT_LEN,
        segment_len: SEGMENT_LEN,
        k_words,
        v_words,
        k_block,
        v_block,
        rotate_queries: u32::from(segment == 0),
        last_position: window - 1,
        cache_slots: 2 * SEGMENT_LEN,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    let count = rows.len() as u32;
    let mut random = Random::new(u64::from(heads + head_dim));
    let qkv = random.activations((attention.qkv_width() * count) as usize);
    let cache = |words: u32| vec![0x3c00_3c00; (SEGMENT_LEN * kv_heads * words) as usize];
    let rows: Vec<BatchRow> = rows
        .iter()
        .map(|&(position, slot)| BatchRow {
            position,
            slot,
            ..BatchRow::default()
        })
        .collect();
    let per_workgroup = tokens_per_workgroup(&ROPE_APPEND_PAGED.variants[variant]);
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) rows {count} \
             segment {segment} {kv}"
        ),
        variant,
        overrides: kv.overrides(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(0, count),
            format: None,
            buffers: vec![
                words(&tables(rotary_dim, window).floats),
                words(&qkv),
                cache(k_words),
                cache(v_words),
                bytemuck::cast_slice(&rows).to_vec(),
            ],
            // One workgroup more than the rows need. It must do nothing.
            workgroups: [heads + 2 * kv_heads, count.div_ceil(per_workgroup) + 1, 1],
        },
        // Rounding to the cache's type may differ in a last bit, or in a code.
        nmse: [kv.k, kv.v].map(rounding).into_iter().fold(1e-7, f64::max),
    }
}
