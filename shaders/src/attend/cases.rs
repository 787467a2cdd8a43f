use half::f16;

use super::{Params, ROWS};
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    // (heads, kv heads, head dim, position, tokens, segment's first position, its length, splits, fresh)
    [
        (9, 3, 64, 0, 1, 0, 64, 1, 1),
        (9, 3, 64, 150, 1, 0, 256, 4, 1),
        (9, 3, 64, 40, 7, 0, 96, 1, 1),
        (32, 8, 128, 300, 1, 256, 128, 2, 0),
        (8, 1, 80, 100, 3, 64, 64, 1, 0),
        (4, 4, 96, 31, 5, 0, 64, 1, 1),
        // A segment that lies wholly after some of the tokens.
        (4, 2, 64, 60, 8, 64, 64, 1, 0),
        (9, 3, 64, 480, 32, 0, 512, 1, 1),
    ]
    .map(|(heads, kv_heads, head_dim, position, count, first, len, splits, fresh)| {
        let mut random = Random::new(u64::from(position + count));
        let params =
            Params { heads, kv_heads, head_dim, splits, first, len, scale: 1.0 / (head_dim as f32).sqrt(), fresh };
        let mut halves = |count: u32| -> Vec<u32> {
            let mut half = || u32::from(f16::from_f32(random.normal()).to_bits());
            (0..count / 2).map(|_| half() | half() << 16).collect()
        };
        let (k, v) = (halves(len * kv_heads * head_dim), halves(len * kv_heads * head_dim));
        let variant = usize::from(count > 1);
        let rows = count * (heads / kv_heads);
        let seen = (position + count).saturating_sub(first).min(len);
        let mut states = random.activations((splits * count * heads * (head_dim + 2)) as usize);
        for state in states.chunks_exact_mut(head_dim as usize + 2) {
            state[head_dim as usize + 1] = state[head_dim as usize + 1].abs() + 1.0;
        }
        let q = random.activations((count * heads * head_dim) as usize);
        Case {
            name: format!("{heads}/{kv_heads} heads of {head_dim} at {position} tokens {count} segment {first}+{len} splits {splits}"),
            variant,
            overrides: Vec::new(),
            scene: Scene {
                params: bytemuck::bytes_of(&params).to_vec(),
                step: Step::new(position, count),
                format: None,
                buffers: vec![words(&q), k, v, words(&states)],
                workgroups: [rows.div_ceil(ROWS[variant]), kv_heads, splits],
            },
            nmse: 1e-10,
            flops: 4 * u64::from(seen) * u64::from(count * heads * head_dim),
            bytes: 4 * u64::from(seen * kv_heads * head_dim) + 8 * u64::from(count * heads * head_dim),
        }
    })
    .to_vec()
}
