use super::{Params, RopeTables};
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    // (heads, kv heads, head dim, rotated, position, tokens, segment's first position, its length)
    [
        (9, 3, 64, 64, 0, 1, 0, 64),
        (9, 3, 64, 64, 70, 5, 64, 64),
        (4, 2, 80, 32, 33, 3, 32, 32),
        (2, 1, 96, 96, 1023, 2, 992, 64),
        (32, 8, 128, 128, 1_048_575, 1, 1_048_512, 64),
        // Part of the tokens lie beyond the segment, and are not appended.
        (2, 2, 64, 64, 60, 8, 0, 64),
    ]
    .map(|(heads, kv_heads, head_dim, rotary_dim, position, count, first, len)| {
        let mut random = Random::new(u64::from(position));
        let frequencies: Vec<f64> =
            (0..rotary_dim / 2).map(|i| 1e6_f64.powf(-2.0 * f64::from(i) / f64::from(rotary_dim))).collect();
        let tables = RopeTables::new(&frequencies, 1.0, position + count);
        let params = Params { heads, kv_heads, head_dim, rotary_dim, first, len, reserved0: 0, reserved1: 0 };
        let mut vector = |floats: u32| words(&random.activations(floats as usize));
        let cache = len * kv_heads * head_dim / 2;
        let floats = (heads + kv_heads) * head_dim * count;
        Case {
            name: format!("{heads}/{kv_heads} heads of {head_dim} ({rotary_dim} rotated) at {position} tokens {count}"),
            variant: 0,
            overrides: Vec::new(),
            scene: Scene {
                params: bytemuck::bytes_of(&params).to_vec(),
                step: Step::new(position, count),
                format: None,
                buffers: vec![
                    words(&tables.floats),
                    vector(kv_heads * head_dim * count),
                    vector(kv_heads * head_dim * count),
                    vector(heads * head_dim * count),
                    vec![0x3c00_3c00; cache as usize],
                    vec![0x3c00_3c00; cache as usize],
                ],
                workgroups: [((heads + kv_heads) * head_dim / 2).div_ceil(64), count + 1, 1],
            },
            // The cache holds halves: a last bit may round the other way.
            nmse: 1e-7,
            flops: 6 * u64::from(floats),
            bytes: 8 * u64::from(floats),
        }
    })
    .to_vec()
}
