use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::KvType;

/// Each head's scores, weights and sums over its page, in f64.
pub fn attention_tail(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let (dim, ratio, count) = (
        p.head_dim as usize,
        p.heads / p.kv_heads,
        fixture.step.count,
    );
    for token in 0..count {
        let position = fixture.step.position + token;
        for head in 0..p.heads {
            let vector = |ring: u32, position: u32| -> Vec<f32> {
                let row = (ring * p.ring + position % p.ring) * p.kv_heads + head / ratio;
                KvType::F16.decode(
                    &fixture.buffers[1][row as usize * dim / 2..][..dim / 2],
                    p.head_dim,
                )
            };
            let state =
                (((head / ratio) * count + token) * ratio + head % ratio) as usize * (dim + 2);
            let old: Vec<f64> = fixture.floats(2)[state..][..dim + 2]
                .iter()
                .map(|&x| x.into())
                .collect();
            let q = &fixture.floats(0)[token as usize * p.q_width as usize + head as usize * dim..]
                [..dim];
            let (mut sums, mut largest, mut total) = (old[..dim].to_vec(), old[dim], old[dim + 1]);
            for seen in position / p.page * p.page..=position {
                let k = vector(0, seen);
                let score: f64 = q
                    .iter()
                    .zip(k)
                    .map(|(&q, k)| f64::from(q * p.scale) * f64::from(k))
                    .sum();
                let peak = largest.max(score);
                let (shrink, weight) = ((largest - peak).exp(), (score - peak).exp());
                sums.iter_mut()
                    .zip(vector(1, seen))
                    .for_each(|(sum, v)| *sum = *sum * shrink + weight * f64::from(v));
                total = total * shrink + weight;
                largest = peak;
            }
            sums.extend([largest, total]);
            let out = &mut fixture.floats_mut(2)[state..][..dim + 2];
            out.iter_mut()
                .zip(sums)
                .for_each(|(out, value)| *out = value as f32);
        }
    }
}
