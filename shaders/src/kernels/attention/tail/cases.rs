use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, KvType};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Pages at their begin, middle and end, and the ring's end; passes within a page and over
    // several.
    for (position, count) in [
        (0, 1),
        (63, 1),
        (64, 1),
        (100, 1),
        (127, 3),
        (130, 64),
        (1_048_575, 1),
    ] {
        cases.push(case(9, 3, 64, position, count, 1.0));
    }
    for (heads, kv_heads, head_dim) in [
        (2, 1, 32),
        (14, 2, 80),
        (4, 4, 96),
        (32, 8, 128),
        (32, 2, 128),
    ] {
        cases.push(case(heads, kv_heads, head_dim, 95, 2, 1.0));
        // Scores of some hundreds, either way: all weight is on one position, or on what was known
        // before.
        cases.push(case(heads, kv_heads, head_dim, 40, 3, 80.0));
    }
    cases
}

fn case(heads: u32, kv_heads: u32, head_dim: u32, position: u32, count: u32, loud: f32) -> Case {
    let mut random = Random::new(u64::from(position + heads));
    let shape = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let kv = KvFormat {
        k: KvType::Q4_0,
        v: KvType::Q4_0,
        hadamard: true,
    };
    let params = super::params(shape, kv.recent_len(count));
    let q: Vec<f32> = (0..count * params.q_width)
        .map(|_| random.normal() * loud)
        .collect();
    let recent: Vec<f32> = (0..kv.recent_bytes(shape, count) / 2)
        .map(|_| random.normal())
        .collect();
    let mut states = random.activations((count * heads * (head_dim + 2)) as usize);
    for (i, state) in states.chunks_exact_mut(head_dim as usize + 2).enumerate() {
        let total = &mut state[head_dim as usize + 1];
        *total = total.abs() + 1.0;
        // Nothing was seen before.
        if i % 3 == 0 {
            state.fill(0.0);
            state[head_dim as usize] = -1e30;
        }
    }
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} at {position} tokens {count} loud {loud}"
        ),
        variant: 0,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, count),
            format: None,
            buffers: vec![words(&q), KvType::F16.encode(&recent), words(&states)],
            workgroups: [count + 1, kv_heads, 1],
        },
        nmse: 1e-10,
    }
}
