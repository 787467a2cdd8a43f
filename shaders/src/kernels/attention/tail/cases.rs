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

pub fn cases() -> Vec<Case> {
    let shape = |heads, kv_heads, head_dim| AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let mut cases = Vec::new();
    // Tail blocks at their begin, middle and end, and the ring's end; passes within a block, and
    // over several.
    let smol = shape(9, 3, 64);
    for (position, tokens) in [
        (0, 1),
        (63, 1),
        (64, 1),
        (100, 1),
        (127, 3),
        (130, 64),
        (1_048_575, 1),
    ] {
        cases.push(case(Shape {
            attention: smol,
            position,
            tokens,
            deviation: 1.0,
        }));
    }
    for attention in [
        shape(2, 1, 32),
        shape(14, 2, 80),
        shape(4, 4, 96),
        shape(32, 8, 128),
        shape(32, 2, 128),
    ] {
        cases.push(case(Shape {
            attention,
            position: 95,
            tokens: 2,
            deviation: 1.0,
        }));
        // Scores of some hundreds, positive and negative: one position, or the earlier partial, has
        // all the weight.
        cases.push(case(Shape {
            attention,
            position: 40,
            tokens: 3,
            deviation: 80.0,
        }));
    }
    cases
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
