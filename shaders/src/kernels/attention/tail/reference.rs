use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::KvType;

/// Each head's scores, weights and sums over its tail block, in f64.
pub fn attention_tail(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let dim = p.head_dim as usize;
    let ratio = p.heads / p.kv_heads;
    let count = fixture.step.count;
    for token in 0..count {
        let position = fixture.step.position + token;
        for head in 0..p.heads {
            // Ring 0 has keys, ring 1 values.
            let vector = |ring: u32, position: u32| -> Vec<f32> {
                let row = ring * p.tail_len + position % p.tail_len;
                let word = (row * p.kv_heads + head / ratio) as usize * dim / 2;
                KvType::F16.decode(&fixture.buffers[1][word..][..dim / 2], p.head_dim)
            };
            let row = ((head / ratio) * count + token) * ratio + head % ratio;
            let partial = row as usize * (dim + 2);
            let old = &fixture.floats(2)[partial..][..dim + 2];
            let mut acc: Vec<f64> = old[..dim].iter().map(|&x| x.into()).collect();
            let mut row_max = f64::from(old[dim]);
            let mut row_sum = f64::from(old[dim + 1]);
            let q_at = token as usize * p.q_stride as usize + head as usize * dim;
            let q = &fixture.floats(0)[q_at..][..dim];
            for key_position in position / p.tail_block * p.tail_block..=position {
                let k = vector(0, key_position);
                let products = q
                    .iter()
                    .zip(k)
                    .map(|(&q, k)| f64::from(q * p.scale) * f64::from(k));
                let score: f64 = products.sum();
                let new_max = row_max.max(score);
                let rescale = (row_max - new_max).exp();
                let weight = (score - new_max).exp();
                for (acc, v) in acc.iter_mut().zip(vector(1, key_position)) {
                    *acc = *acc * rescale + weight * f64::from(v);
                }
                row_sum = row_sum * rescale + weight;
                row_max = new_max;
            }
            acc.extend([row_max, row_sum]);
            let out = &mut fixture.floats_mut(2)[partial..][..dim + 2];
            out.iter_mut()
                .zip(acc)
                .for_each(|(out, value)| *out = value as f32);
        }
    }
}
