use super::{Params, ROPE_APPEND, RopeTables, tokens_per_workgroup};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, KvType};
use crate::testing::{Random, words};

#[derive(Clone, Copy)]
struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    /// Position of the first token.
    position: u32,
    tokens: u32,
    segment_start: u32,
    segment_len: u32,
}

/// One token at the beginning of a small model.
const SHAPE: Shape = Shape {
    heads: 2,
    kv_heads: 2,
    head_dim: 64,
    rotary_dim: 64,
    position: 0,
    tokens: 1,
    segment_start: 0,
    segment_len: 64,
};

/// The heads of SmolLM2-135M.
const SMOL: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    ..SHAPE
};

pub fn cases() -> Vec<Case> {
    let plain = KvFormat::default();
    let mut cases: Vec<Case> = [
        SMOL,
        Shape {
            position: 70,
            tokens: 5,
            segment_start: 64,
            ..SMOL
        },
        Shape {
            heads: 4,
            head_dim: 80,
            rotary_dim: 32,
            position: 33,
            tokens: 3,
            segment_start: 32,
            segment_len: 32,
            ..SHAPE
        },
        Shape {
            kv_heads: 1,
            head_dim: 96,
            rotary_dim: 96,
            position: 1023,
            tokens: 2,
            segment_start: 992,
            ..SHAPE
        },
        Shape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            rotary_dim: 128,
            position: 1_048_575,
            segment_start: 1_048_512,
            ..SHAPE
        },
        // Some of the tokens lie beyond the segment, and are not appended.
        Shape {
            position: 60,
            tokens: 8,
            ..SHAPE
        },
    ]
    .map(|shape| case(shape, plain))
    .to_vec();
    for k in KvType::ALL {
        for v in KvType::ALL {
            let shape = Shape {
                heads: 4,
                position: 35,
                tokens: 5,
                segment_start: 32,
                segment_len: 32,
                ..SHAPE
            };
            cases.push(case(
                shape,
                KvFormat {
                    k,
                    v,
                    hadamard: true,
                },
            ));
        }
    }
    for head_dim in [32, 80, 96, 128] {
        for kind in [KvType::F32, KvType::Q8_0, KvType::Q4_0] {
            for hadamard in [false, true] {
                let shape = Shape {
                    kv_heads: 1,
                    head_dim,
                    rotary_dim: head_dim,
                    position: 2000,
                    tokens: 7,
                    segment_start: 1984,
                    segment_len: 32,
                    ..SHAPE
                };
                cases.push(case(
                    shape,
                    KvFormat {
                        k: kind,
                        v: kind,
                        hadamard,
                    },
                ));
            }
        }
    }
    // More tokens than a workgroup of any variant takes.
    cases.push(case(
        Shape {
            kv_heads: 1,
            position: 30,
            tokens: 17,
            ..SHAPE
        },
        plain,
    ));
    let on_all_variants = |case: Case| {
        (0..ROPE_APPEND.variants.len()).map(move |variant| on_variant(variant, case.clone()))
    };
    cases.into_iter().flat_map(on_all_variants).collect()
}

/// The case on a variant, with one workgroup more than the tokens need. It must do nothing.
fn on_variant(variant: usize, mut case: Case) -> Case {
    case.variant = variant;
    let tokens = case.fixture.step.count;
    let per_workgroup = tokens_per_workgroup(&ROPE_APPEND.variants[variant]);
    case.fixture.workgroups[1] = tokens.div_ceil(per_workgroup) + 1;
    case
}

fn case(shape: Shape, kv: KvFormat) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        position,
        tokens,
        ..
    } = shape;
    let mut random = Random::new(u64::from(position + head_dim));
    let attention = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let tables = tables(rotary_dim, position + tokens);
    let [k_words, v_words] = kv.words(head_dim);
    let [k_block, v_block] = kv.blocks(head_dim);
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        segment_start: shape.segment_start,
        segment_len: shape.segment_len,
        k_words,
        v_words,
        k_block,
        v_block,
        tail_len: kv.f16_tail_len(tokens),
        reserved0: 0,
    };
    let qkv = random.activations((attention.qkv_width() * tokens) as usize);
    let cache = |words: u32| vec![0x3c00_3c00; (shape.segment_len * kv_heads * words) as usize];
    let tail_words = (kv.f16_tail_bytes(attention, tokens) / 4).max(4);
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) at {position} \
             tokens {tokens} {kv}"
        ),
        variant: 0,
        overrides: kv.overrides(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, tokens),
            format: None,
            buffers: vec![
                words(&tables.floats),
                words(&qkv),
                cache(k_words),
                cache(v_words),
                vec![0x3c00_3c00; tail_words as usize],
            ],
            workgroups: [heads + 2 * kv_heads, tokens, 1],
        },
        // Rounding to the cache's type may differ in a last bit, or in a code.
        nmse: [kv.k, kv.v].map(rounding).into_iter().fold(1e-7, f64::max),
    }
}

/// Rotations of this many positions, with frequencies like those of models.
pub fn tables(rotary_dim: u32, positions: u32) -> RopeTables {
    let frequency = |i: u32| 1e6_f64.powf(-2.0 * f64::from(i) / f64::from(rotary_dim));
    RopeTables::new(
        &(0..rotary_dim / 2).map(frequency).collect::<Vec<_>>(),
        1.0,
        positions,
    )
}

/// The error allowed between two vectors rounded from almost equal ones: a part of the rounding
/// error itself.
pub fn rounding(kind: KvType) -> f64 {
    match kind {
        KvType::F32 | KvType::F16 => 1e-7,
        KvType::Q8_0 => 1e-6,
        KvType::Q4_0 => 1e-5,
    }
}
