use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::{Layout, PAGE, WorkItem};

/// Each token's scores, weights and sums over the positions of each item of the segment, in f64.
pub fn attention_paged(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let ratio = p.heads / p.kv_heads;
    let items: Vec<WorkItem> =
        bytemuck::cast_slice(&fixture.buffers[5])[..fixture.step.items as usize].to_vec();
    let [keys, values] = [(true, p.k_words), (false, p.v_words)].map(|(keys, words)| Layout {
        keys,
        kv_heads: p.kv_heads,
        words,
    });
    for item in items.into_iter().filter(|item| item.segment == p.segment) {
        for kv_head in 0..p.kv_heads {
            let cached: Vec<_> = (item.begin..item.end)
                .map(|position| {
                    let entry = item.first_page + (position - item.begin) / PAGE;
                    let page = fixture.buffers[6][entry as usize];
                    let slot = page * PAGE + position % PAGE - p.segment_start;
                    let k = keys.read(&fixture.buffers[1], slot, kv_head, p.head_dim);
                    let v = values.read(&fixture.buffers[2], slot, kv_head, p.head_dim);
                    (position, k, v)
                })
                .collect();
            for (token, head) in
                (0..item.tokens).flat_map(|t| (0..ratio).map(move |r| (t, kv_head * ratio + r)))
            {
                let row = item.first_row + token;
                let q_at = (row * p.q_stride + head * p.head_dim) as usize;
                let q = fixture.floats(0)[q_at..][..dim].to_vec();
                let score = |k: &[f32]| -> f64 {
                    let products = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k));
                    products.sum::<f64>() * f64::from(p.scale)
                };
                let visible: Vec<_> = cached
                    .iter()
                    .filter(|(position, ..)| *position <= item.position + token)
                    .map(|(_, k, v)| (score(k), v))
                    .collect();
                let row_max = visible.iter().map(|(s, _)| *s).fold(-1e30, f64::max);
                let mut acc = vec![0.0; dim];
                let mut row_sum = 0.0;
                for (score, v) in visible {
                    let weight = (score - row_max).exp();
                    row_sum += weight;
                    acc.iter_mut()
                        .zip(v)
                        .for_each(|(acc, &v)| *acc += weight * f64::from(v));
                }
                let (buffer, at) = if p.write_output == 1 {
                    acc.iter_mut().for_each(|acc| *acc /= row_sum);
                    (4, (row * p.heads + head) as usize * dim)
                } else {
                    acc.extend([row_max, row_sum]);
                    let partial = (item.partial + token) * p.heads + head;
                    (3, partial as usize * (dim + 2))
                };
                let out = &mut fixture.floats_mut(buffer)[at..][..acc.len()];
                out.iter_mut()
                    .zip(acc)
                    .for_each(|(out, acc)| *out = acc as f32);
            }
        }
    }
}
