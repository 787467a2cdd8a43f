use super::{Params, SHARE, rows_of, splits_in_use};
use crate::kernel::DispatchFixture;
use crate::kv::Layout;

/// Each row's scores, weights and sums over the split's positions, in f64.
pub fn attention(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let ratio = p.heads / p.kv_heads;
    let rows = fixture.step.count * ratio;
    // As the kernel cuts them: by the tile of rows it works on.
    let tile_rows = rows_of(rows, fixture.workgroups[0]);
    let keys = Layout {
        keys: true,
        kv_heads: p.kv_heads,
        words: p.k_words,
    };
    let values = Layout {
        keys: false,
        kv_heads: p.kv_heads,
        words: p.v_words,
    };
    for kv_head in 0..p.kv_heads {
        let cached: Vec<_> = (0..p.len)
            .map(|slot| {
                let k = keys.read(&fixture.buffers[1], slot, kv_head, p.head_dim);
                (
                    k,
                    values.read(&fixture.buffers[2], slot, kv_head, p.head_dim),
                )
            })
            .collect();
        for row in 0..rows {
            let seen = |row: u32| match (fixture.step.position + row / ratio, p.page) {
                (position, 1) => position + 1,
                (position, page) => position / page * page,
            };
            let visible = seen(row);
            let last = (row / tile_rows * tile_rows + tile_rows).min(rows) - 1;
            let length = seen(last).saturating_sub(p.first).min(p.len);
            let share = length.div_ceil(p.splits).next_multiple_of(SHARE);
            let head = kv_head * ratio + row % ratio;
            let q: Vec<f64> = fixture.floats(0)
                [(row / ratio * p.q_width + head * p.head_dim) as usize..][..dim]
                .iter()
                .map(|&q| f64::from(q) * f64::from(p.scale))
                .collect();
            for split in 0..splits_in_use(fixture.step, p.splits) {
                let state = ((split * p.kv_heads + kv_head) * rows + row) as usize * (dim + 2);
                let mut sums = vec![0.0; dim];
                let (mut largest, mut total) = (-1e30_f64, 0.0);
                if p.fresh == 0 {
                    let old = &fixture.floats(3)[state..][..dim + 2];
                    sums.iter_mut()
                        .zip(old)
                        .for_each(|(sum, &old)| *sum = old.into());
                    (largest, total) = (old[dim].into(), old[dim + 1].into());
                }
                for slot in split * share..((split + 1) * share).min(length) {
                    if p.first + slot >= visible {
                        continue;
                    }
                    let (k, v) = &cached[slot as usize];
                    let score: f64 = q.iter().zip(k).map(|(q, &k)| q * f64::from(k)).sum();
                    let peak = largest.max(score);
                    let (shrink, weight) = ((largest - peak).exp(), (score - peak).exp());
                    sums.iter_mut()
                        .zip(v)
                        .for_each(|(sum, &v)| *sum = *sum * shrink + weight * f64::from(v));
                    total = total * shrink + weight;
                    largest = peak;
                }
                if p.finish == 1 {
                    let out = &mut fixture.floats_mut(4)
                        [(row / ratio * p.heads + head) as usize * dim..][..dim];
                    out.iter_mut()
                        .zip(sums)
                        .for_each(|(out, sum)| *out = (sum / total) as f32);
                    continue;
                }
                sums.extend([largest, total]);
                let out = &mut fixture.floats_mut(3)[state..][..dim + 2];
                out.iter_mut()
                    .zip(sums)
                    .for_each(|(out, value)| *out = value as f32);
            }
        }
    }
}
