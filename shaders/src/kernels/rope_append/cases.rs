use super::{Params, RopeTables, TOKENS};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, KvType};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let plain = KvFormat::default();
    let mut cases: Vec<Case> = [
        // heads, kv heads, head dim, rotated, position, tokens, segment's first position, its
        // length
        [9, 3, 64, 64, 0, 1, 0, 64],
        [9, 3, 64, 64, 70, 5, 64, 64],
        [4, 2, 80, 32, 33, 3, 32, 32],
        [2, 1, 96, 96, 1023, 2, 992, 64],
        [32, 8, 128, 128, 1_048_575, 1, 1_048_512, 64],
        // Part of the tokens lie beyond the segment, and are not appended.
        [2, 2, 64, 64, 60, 8, 0, 64],
    ]
    .map(|shape| case(shape, plain))
    .to_vec();
    for k in KvType::ALL {
        for v in KvType::ALL {
            cases.push(case(
                [4, 2, 64, 64, 35, 5, 32, 32],
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
                let format = KvFormat {
                    k: kind,
                    v: kind,
                    hadamard,
                };
                cases.push(case([2, 1, head_dim, head_dim, 2000, 7, 1984, 32], format));
            }
        }
    }
    // Of more tokens than a workgroup of any variant has.
    cases.push(case([2, 1, 64, 64, 30, 17, 0, 64], plain));
    let all = |case: Case| (0..TOKENS.len()).map(move |variant| on_variant(variant, case.clone()));
    cases.into_iter().flat_map(all).collect()
}

/// The same on a variant, with a workgroup more than there are tokens for: it must do nothing.
fn on_variant(variant: usize, mut case: Case) -> Case {
    case.variant = variant;
    case.fixture.workgroups[1] = case.fixture.step.count.div_ceil(TOKENS[variant]) + 1;
    case
}

fn case(shape: [u32; 8], kv: KvFormat) -> Case {
    let [
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        position,
        count,
        first,
        len,
    ] = shape;
    let mut random = Random::new(u64::from(position + head_dim));
    let shape = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let tables = tables(rotary_dim, position + count);
    let ([k_words, v_words], [k_block, v_block]) = (kv.words(head_dim), kv.blocks(head_dim));
    let (ring, reserved0) = (kv.recent_len(count), 0);
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        first,
        len,
        k_words,
        v_words,
        k_block,
        v_block,
        ring,
        reserved0,
    };
    let mut vector = |floats: u32| words(&random.activations(floats as usize));
    let cache = |words: u32| vec![0x3c00_3c00; (len * kv_heads * words) as usize];
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) at {position} tokens \
             {count} {kv}"
        ),
        variant: 0,
        overrides: kv.overrides(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, count),
            format: None,
            buffers: vec![
                words(&tables.floats),
                vector((heads + 2 * kv_heads) * head_dim * count),
                cache(k_words),
                cache(v_words),
                vec![0x3c00_3c00; (kv.recent_bytes(shape, count) / 4).max(4) as usize],
            ],
            workgroups: [heads + 2 * kv_heads, count, 1],
        },
        // What is stored is rounded: a last bit may go the other way, or a code.
        nmse: [kv.k, kv.v].map(rounding).into_iter().fold(1e-7, f64::max),
    }
}

/// Rotations for so many positions, of frequencies as models have them.
pub fn tables(rotary_dim: u32, positions: u32) -> RopeTables {
    let frequency = |i: u32| 1e6_f64.powf(-2.0 * f64::from(i) / f64::from(rotary_dim));
    RopeTables::new(
        &(0..rotary_dim / 2).map(frequency).collect::<Vec<_>>(),
        1.0,
        positions,
    )
}

/// How far apart two vectors may be that were rounded from almost the same: some of the rounding
/// error itself.
pub fn rounding(kind: KvType) -> f64 {
    match kind {
        KvType::F32 | KvType::F16 => 1e-7,
        KvType::Q8_0 => 1e-6,
        KvType::Q4_0 => 1e-5,
    }
}
