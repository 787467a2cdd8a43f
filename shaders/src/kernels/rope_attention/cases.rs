use super::{Params, ROPE_ATTENTION};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::rope_append::{rounding, tables};
use crate::kv::{AttentionShape, KvFormat, KvType, Layout};
use crate::testing::{Random, words};

#[derive(Clone, Copy)]
struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    position: u32,
    segment_start: u32,
    segment_len: u32,
    splits: u32,
    write_output: bool,
}

/// The first token of a small model, in one split.
const SHAPE: Shape = Shape {
    heads: 4,
    kv_heads: 4,
    head_dim: 64,
    rotary_dim: 64,
    position: 0,
    segment_start: 0,
    segment_len: 64,
    splits: 1,
    write_output: true,
};

/// Heads of 128 floats, four of which share a KV head, in two splits.
const LARGE: Shape = Shape {
    heads: 8,
    kv_heads: 2,
    head_dim: 128,
    rotary_dim: 128,
    segment_len: 544,
    splits: 2,
    write_output: false,
    ..SHAPE
};

pub fn cases() -> Vec<Case> {
    let plain = KvFormat::default();
    let q8_0 = KvFormat {
        k: KvType::Q8_0,
        v: KvType::Q8_0,
        hadamard: true,
    };
    let smol = Shape {
        heads: 9,
        kv_heads: 3,
        ..SHAPE
    };
    let one_split = Shape {
        splits: 1,
        write_output: true,
        ..LARGE
    };
    let one_kv_head = Shape {
        kv_heads: 1,
        ..one_split
    };
    let mut cases = Vec::new();
    for (shape, kv) in [
        (smol, plain),
        (
            Shape {
                position: 75,
                segment_len: 96,
                splits: 4,
                write_output: false,
                ..smol
            },
            plain,
        ),
        (
            Shape {
                position: 31,
                ..SHAPE
            },
            plain,
        ),
        (
            Shape {
                heads: 2,
                kv_heads: 1,
                head_dim: 80,
                rotary_dim: 32,
                position: 130,
                segment_start: 64,
                segment_len: 96,
                ..SHAPE
            },
            q8_0,
        ),
        (
            Shape {
                heads: 32,
                kv_heads: 8,
                position: 1_048_575,
                segment_start: 1_048_512,
                segment_len: 64,
                ..LARGE
            },
            q8_0,
        ),
        // On both sides of the size of a split, and of the slots of a subgroup.
        (
            Shape {
                position: 255,
                segment_len: 512,
                ..LARGE
            },
            q8_0,
        ),
        (
            Shape {
                position: 256,
                segment_len: 512,
                ..LARGE
            },
            q8_0,
        ),
        (
            Shape {
                position: 511,
                ..LARGE
            },
            q8_0,
        ),
        (
            Shape {
                position: 512,
                ..LARGE
            },
            q8_0,
        ),
        (
            Shape {
                position: 511,
                ..one_split
            },
            q8_0,
        ),
        (
            Shape {
                heads: 4,
                kv_heads: 1,
                position: 1025,
                segment_len: 1056,
                splits: 4,
                ..LARGE
            },
            q8_0,
        ),
        (
            Shape {
                heads: 3,
                position: 64,
                segment_len: 96,
                ..one_kv_head
            },
            KvFormat {
                hadamard: false,
                ..q8_0
            },
        ),
    ] {
        cases.extend(on_all_variants(shape, kv));
    }
    for [k, v] in [[KvType::F32; 2], [KvType::Q8_0, KvType::F16]] {
        let shape = Shape {
            heads: 4,
            position: 100,
            segment_len: 128,
            ..one_kv_head
        };
        cases.extend(on_all_variants(
            shape,
            KvFormat {
                k,
                v,
                hadamard: true,
            },
        ));
    }
    cases
}

fn on_all_variants(shape: Shape, kv: KvFormat) -> Vec<Case> {
    (0..ROPE_ATTENTION.variants.len())
        .map(|variant| on_variant(variant, shape, kv))
        .collect()
}

fn on_variant(variant: usize, shape: Shape, kv: KvFormat) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        position,
        ..
    } = shape;
    let Shape {
        segment_start,
        segment_len,
        splits,
        write_output,
        ..
    } = shape;
    let attention = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let mut random = Random::new(u64::from(position + head_dim));
    let tables = tables(rotary_dim, position + 1);
    let [k_words, v_words] = kv.words(head_dim);
    let [k_block, v_block] = kv.blocks(head_dim);
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        rotary_dim,
        splits,
        segment_start,
        segment_len,
        k_words,
        v_words,
        scale: attention.score_scale(),
        k_block,
        v_block,
        write_output: write_output.into(),
        one: 1,
        reserved0: 0,
        reserved1: 0,
    };
    let mut cache = |keys: bool, words: u32| {
        let layout = Layout {
            keys,
            kv_heads,
            words,
        };
        let mut cache = vec![0; (segment_len * kv_heads * words) as usize];
        for slot in 0..segment_len {
            for head in 0..kv_heads {
                let vector: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
                layout.write(&mut cache, slot, head, &vector);
            }
        }
        cache
    };
    let k = cache(true, k_words);
    let v = cache(false, v_words);
    let mut vector = |floats: u32| words(&random.activations(floats as usize));
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) at {position} \
             segment {segment_start}+{segment_len} splits {splits} {kv}{}",
            if write_output { " output" } else { "" }
        ),
        variant,
        overrides: kv.overrides_for(head_dim),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, 1),
            format: None,
            buffers: vec![
                words(&tables.floats),
                vector(attention.qkv_width()),
                k,
                v,
                vector(splits * heads * (head_dim + 2)),
                vector(heads * head_dim),
            ],
            workgroups: [1, kv_heads, splits],
        },
        // Rounding to the cache's type may differ in a last bit, or in a code.
        nmse: [kv.k, kv.v].map(rounding).into_iter().fold(1e-10, f64::max),
    }
}
