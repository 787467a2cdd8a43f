use half::f16;

use super::{LANES, Params, ROWS};
use crate::kernel::Scene;

/// Each row's scores, weights and sums over the split's positions, in f64.
pub fn attend(scene: &mut Scene) {
    let p: Params = scene.params();
    let (dim, words) = (p.head_dim as usize, p.head_dim as usize / 2);
    let ratio = p.heads / p.kv_heads;
    let rows = scene.step.count * ratio;
    // As the kernel cuts them: by the tile of rows it works on, the smaller one where that gives these workgroups.
    let tile_rows = ROWS.into_iter().find(|&t| rows.div_ceil(t) == scene.workgroups[0]).unwrap_or(ROWS[1]);
    let half = |word: u32, i: usize| f64::from(f16::from_bits((word >> (16 * i)) as u16).to_f32());
    for kv_head in 0..p.kv_heads {
        for row in 0..rows {
            let position = scene.step.position + row / ratio;
            let last = (row / tile_rows * tile_rows + tile_rows).min(rows) - 1;
            let visible = scene.step.position + last / ratio + 1;
            let length = visible.saturating_sub(p.first).min(p.len);
            let share = length.div_ceil(p.splits).next_multiple_of(LANES);
            let head = kv_head * ratio + row % ratio;
            let q: Vec<f64> = scene.floats(0)[((row / ratio * p.heads + head) * p.head_dim) as usize..][..dim]
                .iter()
                .map(|&q| f64::from(q) * f64::from(p.scale))
                .collect();
            for split in 0..p.splits {
                let state = ((split * p.kv_heads + kv_head) * rows + row) as usize * (dim + 2);
                let mut sums = vec![0.0; dim];
                let (mut largest, mut total) = (-1e30_f64, 0.0);
                if p.fresh == 0 {
                    let old = &scene.floats(3)[state..][..dim + 2];
                    sums.iter_mut().zip(old).for_each(|(sum, &old)| *sum = old.into());
                    (largest, total) = (old[dim].into(), old[dim + 1].into());
                }
                for slot in split * share..((split + 1) * share).min(length) {
                    if p.first + slot > position {
                        continue;
                    }
                    let k = ((slot / 32 * p.kv_heads + kv_head) as usize * words) * 32 + (slot % 32) as usize;
                    let score: f64 = (0..dim).map(|d| q[d] * half(scene.buffers[1][k + d / 2 * 32], d % 2)).sum();
                    let peak = largest.max(score);
                    let (shrink, weight) = ((largest - peak).exp(), (score - peak).exp());
                    let v = (slot * p.kv_heads + kv_head) as usize * words;
                    for (d, sum) in sums.iter_mut().enumerate() {
                        *sum = *sum * shrink + weight * half(scene.buffers[2][v + d / 2], d % 2);
                    }
                    total = total * shrink + weight;
                    largest = peak;
                }
                sums.extend([largest, total]);
                let out = &mut scene.floats_mut(3)[state..][..dim + 2];
                out.iter_mut().zip(sums).for_each(|(out, value)| *out = value as f32);
            }
        }
    }
}
