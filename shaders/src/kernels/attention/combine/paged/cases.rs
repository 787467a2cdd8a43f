use super::{Params, split_groups};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::BatchRow;
use crate::testing::{Random, words};

struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    /// The token partials of each group of tokens: how many tokens, and how many partials each has.
    groups: &'static [(u32, u32)],
    /// Of the Hadamard transform.
    block: u32,
    cpu: bool,
}

/// Single tokens of a small model.
const SHAPE: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    groups: &[(1, 1), (1, 3), (1, 1), (1, 64)],
    block: 1,
    cpu: false,
};

pub fn cases() -> Vec<Case> {
    [
        SHAPE,
        Shape { cpu: true, ..SHAPE },
        // Tokens that share items, and rows without partials.
        Shape {
            heads: 4,
            kv_heads: 1,
            head_dim: 80,
            groups: &[(5, 2), (2, 0), (1, 1), (3, 70)],
            block: 16,
            ..SHAPE
        },
        Shape {
            heads: 8,
            kv_heads: 8,
            head_dim: 128,
            groups: &[(1, 9), (8, 4)],
            block: 128,
            cpu: true,
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
        groups,
        block,
        cpu,
    } = shape;
    let mut rows = Vec::new();
    let mut token_partials = 0;
    for &(tokens, partials) in groups {
        rows.extend((0..tokens).map(|token| BatchRow {
            first_partial: token_partials + token,
            partials,
            partial_stride: tokens,
            ..BatchRow::default()
        }));
        token_partials += tokens * partials;
    }
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        token_partials,
        block,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    let mut random = Random::new(u64::from(heads + token_partials));
    let mut partials = random.activations((token_partials * heads * (head_dim + 2)) as usize);
    for partial in partials.chunks_exact_mut(head_dim as usize + 2) {
        let row_sum = &mut partial[head_dim as usize + 1];
        *row_sum = row_sum.abs() + 1.0;
    }
    // The last partial of a row of several saw no position.
    for row in rows.iter().filter(|row| row.partials > 1) {
        let last = row.first_partial + (row.partials - 1) * row.partial_stride;
        let len = (head_dim + 2) as usize;
        for head in 0..heads {
            let partial = &mut partials[(last * heads + head) as usize * len..][..len];
            partial.fill(0.0);
            partial[head_dim as usize] = -1e30;
        }
    }
    let count = rows.len() as u32;
    let out = random.activations((count * heads * head_dim) as usize);
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} tokens and partials {groups:?} block {block}{}",
            if cpu { " cpu" } else { "" }
        ),
        variant: 0,
        overrides: split_groups(cpu),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step {
                items: token_partials,
                ..Step::new(0, count)
            },
            format: None,
            buffers: vec![
                words(&partials),
                words(&out),
                bytemuck::cast_slice(&rows).to_vec(),
            ],
            workgroups: [heads, count + 1, 1],
        },
        nmse: 1e-11,
    }
}
