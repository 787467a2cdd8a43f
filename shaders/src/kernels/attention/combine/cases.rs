use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [
        (9, 3, 64, 1, 1, 1),
        (2, 1, 32, 3, 2, 32),
        (9, 3, 64, 5, 1, 64),
        (32, 8, 128, 1, 7, 128),
        (4, 1, 80, 3, 2, 16),
        (4, 2, 96, 2, 64, 32),
        (8, 8, 128, 1, 256, 128),
    ]
    .map(|(heads, kv_heads, head_dim, count, splits, block)| {
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
        let mut states = random.activations((splits * count * heads * (head_dim + 2)) as usize);
        for (i, state) in states.chunks_exact_mut(head_dim as usize + 2).enumerate() {
            let total = &mut state[head_dim as usize + 1];
            *total = total.abs() + 1.0;
            // A split with nothing to see: the last, where there are several.
            if splits > 1 && i >= ((splits - 1) * count * heads) as usize {
                state.fill(0.0);
                state[head_dim as usize] = -1e30;
            }
        }
        let y = random.activations((count * heads * head_dim) as usize);
        Case {
            name: format!(
                "{heads}/{kv_heads} heads of {head_dim} tokens {count} splits {splits} \
                block {block}"
            ),
            variant: 0,
            overrides: vec![("PARTS", if splits > 4 { 8 } else { 2 })],
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&params).to_vec(),
                // All splits but those of the longest case are in use.
                step: Step::new(2000, count),
                format: None,
                buffers: vec![words(&states), words(&y)],
                workgroups: [heads, count + 1, 1],
            },
            nmse: 1e-11,
        }
    })
    .to_vec()
}
