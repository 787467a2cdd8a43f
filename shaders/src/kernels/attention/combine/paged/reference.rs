use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::{BatchRow, hadamard};

/// The weighted mean of each row's token partials, in f64.
pub fn attention_combine_paged(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let rows: Vec<BatchRow> = bytemuck::cast_slice(&fixture.buffers[2]).to_vec();
    for (token, row) in (0..fixture.step.count).zip(rows) {
        if row.partials == 0 {
            continue;
        }
        for head in 0..p.heads {
            let partial = |split: u32, i: usize| {
                let partial = row.first_partial + split * row.partial_stride;
                f64::from(fixture.floats(0)[(partial * p.heads + head) as usize * (dim + 2) + i])
            };
            let splits = 0..row.partials;
            let row_max = splits
                .clone()
                .map(|s| partial(s, dim))
                .fold(-1e30, f64::max);
            let sum = |i: usize| -> f64 {
                splits
                    .clone()
                    .map(|s| (partial(s, dim) - row_max).exp() * partial(s, i))
                    .sum()
            };
            let row_sum = sum(dim + 1);
            let mut row: Vec<f32> = (0..dim).map(|d| (sum(d) / row_sum) as f32).collect();
            hadamard(&mut row, p.block);
            let out = (token * p.heads + head) as usize * dim;
            fixture.floats_mut(1)[out..][..dim].copy_from_slice(&row);
        }
    }
}
