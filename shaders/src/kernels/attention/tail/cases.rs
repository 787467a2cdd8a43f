use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, KvType};
use crate::testing::{Random, words};

struct Shape {
    attention: AttentionShape,
    /// Position of the first token.
    position: u32,
    tokens: u32,
    /// Deviation of the queries' floats.
    deviation: f32,
}

/// One token of a small model.
const SHAPE: Shape = Shape {
    attention: AttentionShape {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
    },
    position: 0,
    tokens: 1,
    deviation: 1.0,
};

pub fn cases() -> Vec<Case> {
    // Tail blocks at their begin, middle and end, and the ring's end; passes within a block, and
    // over several.
    let mut shapes = vec![
        SHAPE,
        Shape {
            position: 63,
            ..SHAPE
        },
        Shape {
            position: 64,
            ..SHAPE
        },
        Shape {
            position: 100,
            ..SHAPE
        },
        Shape {
            position: 127,
            tokens: 3,
            ..SHAPE
        },
        Shape {
            position: 130,
            tokens: 64,
            ..SHAPE
        },
        Shape {
            position: 1_048_575,
            ..SHAPE
        },
    ];
    for attention in [
        AttentionShape {
            heads: 2,
            kv_heads: 1,
            head_dim: 32,
        },
        AttentionShape {
            heads: 14,
            kv_heads: 2,
            head_dim: 80,
        },
        AttentionShape {
            heads: 4,
            kv_heads: 4,
            head_dim: 96,
        },
        AttentionShape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
        },
        AttentionShape {
            heads: 32,
            kv_heads: 2,
            head_dim: 128,
        },
    ] {
        shapes.push(Shape {
            attention,
            position: 95,
            tokens: 2,
            ..SHAPE
        });
        // Scores of some hundreds, positive and negative: one position, or the earlier partial, has
        // all the weight.
        shapes.push(Shape {
            attention,
            position: 40,
            tokens: 3,
            deviation: 80.0,
        });
    }
    shapes.into_iter().map(case).collect()
}

fn case(shape: Shape) -> Case {
    let Shape {
        attention,
        position,
        tokens,
        deviation,
    } = shape;
    let AttentionShape {
        heads,
        kv_heads,
        head_dim,
    } = attention;
    let mut random = Random::new(u64::from(position + heads));
    let kv = KvFormat {
        k: KvType::Q4_0,
        v: KvType::Q4_0,
        hadamard: true,
    };
    let params = super::params(attention, kv.f16_tail_len(tokens));
    let q: Vec<f32> = (0..tokens * params.q_stride)
        .map(|_| random.normal() * deviation)
        .collect();
    let tail_floats = kv.f16_tail_bytes(attention, tokens) / 2;
    let tail: Vec<f32> = (0..tail_floats).map(|_| random.normal()).collect();
    let mut partials = random.activations((tokens * heads * (head_dim + 2)) as usize);
    for (i, partial) in partials.chunks_exact_mut(head_dim as usize + 2).enumerate() {
        let row_sum = &mut partial[head_dim as usize + 1];
        *row_sum = row_sum.abs() + 1.0;
        // Every third row has no earlier positions.
        if i % 3 == 0 {
            partial.fill(0.0);
            partial[head_dim as usize] = -1e30;
        }
    }
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} at {position} tokens {tokens} \
             deviation {deviation}"
        ),
        variant: 0,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, tokens),
            format: None,
            buffers: vec![words(&q), KvType::F16.encode(&tail), words(&partials)],
            workgroups: [tokens + 1, kv_heads, 1],
        },
        nmse: 1e-10,
    }
}
