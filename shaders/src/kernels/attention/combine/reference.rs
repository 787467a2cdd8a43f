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
            let state = |split: u32| {
                let row = (split * p.kv_heads + head / ratio) * rows + token * ratio + head % ratio;
                row as usize * (dim + 2)
            };
            let at = |split: u32, i: usize| f64::from(fixture.floats(0)[state(split) + i]);
            let peak = (0..splits).map(|s| at(s, dim)).fold(-1e30, f64::max);
            let weights: Vec<f64> = (0..splits).map(|s| (at(s, dim) - peak).exp()).collect();
            let sum = |i: usize| {
                (0..splits)
                    .map(|s| weights[s as usize] * at(s, i))
                    .sum::<f64>()
            };
            let total = sum(dim + 1);
            let mut row: Vec<f32> = (0..dim).map(|d| (sum(d) / total) as f32).collect();
            hadamard(&mut row, p.block);
            fixture.floats_mut(1)[(token * p.heads + head) as usize * dim..][..dim]
                .copy_from_slice(&row);
        }
    }
}
