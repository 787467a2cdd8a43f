use super::{Params, split_groups};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    tokens: u32,
    splits: u32,
    /// Of the Hadamard transform.
    block: u32,
}

/// One token of a small model, in one split.
const SHAPE: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    tokens: 1,
    splits: 1,
    block: 1,
};

pub fn cases() -> Vec<Case> {
    [
        SHAPE,
        Shape {
            heads: 2,
            kv_heads: 1,
            head_dim: 32,
            tokens: 3,
            splits: 2,
            block: 32,
        },
        Shape {
            tokens: 5,
            block: 64,
            ..SHAPE
        },
        Shape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            splits: 7,
            block: 128,
            ..SHAPE
        },
        Shape {
            heads: 4,
            kv_heads: 1,
            head_dim: 80,
            tokens: 3,
            splits: 2,
            block: 16,
        },
        Shape {
            heads: 4,
            kv_heads: 2,
            head_dim: 96,
            tokens: 2,
            splits: 64,
            block: 32,
        },
        Shape {
            heads: 8,
            kv_heads: 8,
            head_dim: 128,
            splits: 256,
            block: 128,
            ..SHAPE
        },
    ]
    .map(case)
    .to_vec()
}

fn case(shape: Shape) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        tokens,
        splits,
        block,
    } = shape;
    let mut random = Random::new(u64::from(heads + splits));
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        splits,
        block,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    let mut partials = random.activations((splits * tokens * heads * (head_dim + 2)) as usize);
    for (i, partial) in partials.chunks_exact_mut(head_dim as usize + 2).enumerate() {
        let row_sum = &mut partial[head_dim as usize + 1];
        *row_sum = row_sum.abs() + 1.0;
        // Where there are several splits, the last has no visible slots.
        if splits > 1 && i >= ((splits - 1) * tokens * heads) as usize {
            partial.fill(0.0);
            partial[head_dim as usize] = -1e30;
        }
    }
    let out = random.activations((tokens * heads * head_dim) as usize);
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} tokens {tokens} splits {splits} block {block}"
        ),
        variant: 0,
        overrides: split_groups(splits),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            // At this position all splits are in use, but in the cases with the most.
            step: Step::new(2000, tokens),
            format: None,
            buffers: vec![words(&partials), words(&out)],
            workgroups: [heads, tokens + 1, 1],
        },
        nmse: 1e-11,
    }
}
