use super::{Params, ROPE_ATTENTION};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::rope_append::{rounding, tables};
use crate::kv::{KvFormat, KvType, Layout};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let plain = KvFormat::default();
    let bytes = KvFormat {
        k: KvType::Q8_0,
        v: KvType::Q8_0,
        hadamard: true,
    };
    let mut cases = Vec::new();
    for (shape, kv) in [
        // heads, kv heads, head dim, rotated, position, segment's first position, its length,
        // splits, whether it finishes
        ([9, 3, 64, 64, 0, 0, 64, 1, 1], plain),
        ([9, 3, 64, 64, 75, 0, 96, 4, 0], plain),
        ([4, 4, 64, 64, 31, 0, 64, 1, 1], plain),
        ([2, 1, 80, 32, 130, 64, 96, 1, 1], bytes),
        ([32, 8, 128, 128, 1_048_575, 1_048_512, 64, 2, 0], bytes),
        // Either side of what a split takes, and of a team's positions.
        ([8, 2, 128, 128, 255, 0, 512, 2, 0], bytes),
        ([8, 2, 128, 128, 256, 0, 512, 2, 0], bytes),
        ([8, 2, 128, 128, 511, 0, 544, 2, 0], bytes),
        ([8, 2, 128, 128, 512, 0, 544, 2, 0], bytes),
        ([8, 2, 128, 128, 511, 0, 544, 1, 1], bytes),
        ([4, 1, 128, 128, 1025, 0, 1056, 4, 0], bytes),
        (
            [3, 1, 128, 128, 64, 0, 96, 1, 1],
            KvFormat {
                hadamard: false,
                ..bytes
            },
        ),
    ] {
        cases.extend(case(shape, kv));
    }
    for [k, v] in [[KvType::F32; 2], [KvType::Q8_0, KvType::F16]] {
        cases.extend(case(
            [4, 1, 128, 128, 100, 0, 128, 1, 1],
            KvFormat {
                k,
                v,
                hadamard: true,
            },
        ));
    }
    cases
}

fn case(shape: [u32; 9], kv: KvFormat) -> Vec<Case> {
    (0..ROPE_ATTENTION.variants.len())
        .map(|variant| on(variant, shape, kv))
        .collect()
}

fn on(variant: usize, shape: [u32; 9], kv: KvFormat) -> Case {
    let [
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        position,
        first,
        len,
        splits,
        finish,
    ] = shape;
    let mut random = Random::new(u64::from(position + head_dim));
    let tables = tables(rotary_dim, position + 1);
    let ([k_words, v_words], [k_block, v_block]) = (kv.words(head_dim), kv.blocks(head_dim));
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        splits,
        first,
        len,
        k_words,
        v_words,
        scale: 1.0 / (head_dim as f32).sqrt(),
        k_block,
        v_block,
        finish,
        one: 1,
        reserved0: 0,
        reserved1: 0,
    };
    let mut cache = |keys: bool, words: u32| {
        let mut cache = vec![0; (len * kv_heads * words) as usize];
        for (slot, head) in (0..len).flat_map(|slot| (0..kv_heads).map(move |head| (slot, head))) {
            let vector: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
            Layout {
                keys,
                kv_heads,
                words,
            }
            .write(&mut cache, slot, head, &vector);
        }
        cache
    };
    let (k, v) = (cache(true, k_words), cache(false, v_words));
    let mut vector = |floats: u32| words(&random.activations(floats as usize));
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) at {position} segment \
             {first}+{len} splits {splits} {kv}{}",
            if finish == 1 { " finish" } else { "" }
        ),
        variant,
        overrides: kv.overrides_for(head_dim),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, 1),
            format: None,
            buffers: vec![
                words(&tables.floats),
                vector((heads + 2 * kv_heads) * head_dim),
                k,
                v,
                vector(splits * heads * (head_dim + 2)),
                vector(heads * head_dim),
            ],
            workgroups: [1, kv_heads, splits],
        },
        // What is stored is rounded: a last bit may go the other way, or a code.
        nmse: [kv.k, kv.v].map(rounding).into_iter().fold(1e-10, f64::max),
    }
}
