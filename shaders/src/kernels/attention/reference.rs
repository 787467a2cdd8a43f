use super::kv_splits::{SPLIT_GRANULE, splits_in_use};
use super::{AttentionVariant, Params};
use crate::kernel::DispatchFixture;
use crate::kv::Layout;

/// Each row's scores, weights and sums over the slots of each split, in f64.
pub fn attention(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let ratio = p.heads / p.kv_heads;
    let step = fixture.step;
    let rows = step.count * ratio;
    // Split sizes depend on the last row of a workgroup.
    let block = rows_per_workgroup(rows, fixture.workgroups[0]);
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
        let cached: Vec<_> = (0..p.segment_len)
            .map(|slot| {
                let k = keys.read(&fixture.buffers[1], slot, kv_head, p.head_dim);
                (
                    k,
                    values.read(&fixture.buffers[2], slot, kv_head, p.head_dim),
                )
            })
            .collect();
        for row in 0..rows {
            // The first position that a row does not attend to.
            let end = |row: u32| match (step.position + row / ratio, p.tail_block) {
                (position, 1) => position + 1,
                (position, tail_block) => position / tail_block * tail_block,
            };
            let last_row = (row / block * block + block).min(rows) - 1;
            let length = end(last_row)
                .saturating_sub(p.segment_start)
                .min(p.segment_len);
            let split_size = length.div_ceil(p.splits).next_multiple_of(SPLIT_GRANULE);
            let head = kv_head * ratio + row % ratio;
            let q_at = (row / ratio * p.q_stride + head * p.head_dim) as usize;
            let q: Vec<f64> = fixture.floats(0)[q_at..][..dim]
                .iter()
                .map(|&q| f64::from(q) * f64::from(p.scale))
                .collect();
            for split in 0..splits_in_use(step, p.splits) {
                let partial = ((split * p.kv_heads + kv_head) * rows + row) as usize * (dim + 2);
                let mut acc = vec![0.0; dim];
                let (mut row_max, mut row_sum) = (-1e30_f64, 0.0);
                if p.is_first_segment == 0 {
                    let old = &fixture.floats(3)[partial..][..dim + 2];
                    acc.iter_mut()
                        .zip(old)
                        .for_each(|(acc, &old)| *acc = old.into());
                    row_max = old[dim].into();
                    row_sum = old[dim + 1].into();
                }
                for slot in split * split_size..((split + 1) * split_size).min(length) {
                    if p.segment_start + slot >= end(row) {
                        continue;
                    }
                    let (k, v) = &cached[slot as usize];
                    let score: f64 = q.iter().zip(k).map(|(q, &k)| q * f64::from(k)).sum();
                    let new_max = row_max.max(score);
                    let rescale = (row_max - new_max).exp();
                    let weight = (score - new_max).exp();
                    for (acc, &v) in acc.iter_mut().zip(v) {
                        *acc = *acc * rescale + weight * f64::from(v);
                    }
                    row_sum = row_sum * rescale + weight;
                    row_max = new_max;
                }
                if p.write_output == 1 {
                    let at = (row / ratio * p.heads + head) as usize * dim;
                    let out = &mut fixture.floats_mut(4)[at..][..dim];
                    out.iter_mut()
                        .zip(acc)
                        .for_each(|(out, acc)| *out = (acc / row_sum) as f32);
                    continue;
                }
                acc.extend([row_max, row_sum]);
                let out = &mut fixture.floats_mut(3)[partial..][..dim + 2];
                out.iter_mut()
                    .zip(acc)
                    .for_each(|(out, value)| *out = value as f32);
            }
        }
    }
}

/// The rows of a workgroup, by the workgroups that the rows of a KV head take.
fn rows_per_workgroup(rows: u32, workgroups: u32) -> u32 {
    let sizes = AttentionVariant::ALL.map(AttentionVariant::rows_per_workgroup);
    sizes
        .into_iter()
        .find(|&size| rows.div_ceil(size) == workgroups)
        .unwrap_or(sizes[0])
}
