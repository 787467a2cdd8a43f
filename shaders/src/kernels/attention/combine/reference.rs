use super::Params;
use crate::kernel::DispatchFixture;
use crate::kernels::attention::splits_in_use;
use crate::kv::hadamard;

/// The weighted mean of the splits, in f64.
pub fn attention_combine(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let ratio = p.heads / p.kv_heads;
    let rows = fixture.step.count * ratio;
    let splits = splits_in_use(fixture.step, p.splits);
    for token in 0..fixture.step.count {
        for head in 0..p.heads {
            let partial = |split: u32, i: usize| {
                let kv_row = (split * p.kv_heads + head / ratio) * rows;
                let row = kv_row + token * ratio + head % ratio;
                f64::from(fixture.floats(0)[row as usize * (dim + 2) + i])
            };
            let row_max = (0..splits).map(|s| partial(s, dim)).fold(-1e30, f64::max);
            let weights: Vec<f64> = (0..splits)
                .map(|s| (partial(s, dim) - row_max).exp())
                .collect();
            let sum = |i: usize| -> f64 {
                (0..splits)
                    .map(|s| weights[s as usize] * partial(s, i))
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
