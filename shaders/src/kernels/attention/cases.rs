use super::{BLOCK, BLOCK_SPREAD, DECODE, DECODE32, FEW, FEW_ROWS, MATRIX, PREFILL, Params, ROWS};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{KvFormat, KvType, Layout};
use crate::testing::{Random, words};

/// What the scores of a case do from position to position.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scores {
    Random,
    /// Keys are zero: all positions weigh the same.
    Uniform,
    /// From -80 up to 80.
    Rising,
    /// From 80 down to -80.
    Falling,
    /// 80 at the first and last position of each tile of 64, else -80.
    Spikes,
}

#[derive(Clone, Copy)]
struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    position: u32,
    count: u32,
    first: u32,
    len: u32,
    splits: u32,
    fresh: u32,
    /// Whether the result is stored instead of states; only the variants for CPUs do that.
    finish: bool,
}

pub fn cases() -> Vec<Case> {
    let shape = |[
        heads,
        kv_heads,
        head_dim,
        position,
        count,
        first,
        len,
        splits,
        fresh,
    ]: [u32; 9]| Shape {
        heads,
        kv_heads,
        head_dim,
        position,
        count,
        first,
        len,
        splits,
        fresh,
        finish: false,
    };
    let plain = KvFormat::default();
    // AttentionShape, KV heads, head dim, position, tokens, the segment's first position, its
    // length, splits, fresh.
    let mut cases: Vec<Case> = [
        [9, 3, 64, 0, 1, 0, 64, 1, 1],
        [9, 3, 64, 150, 1, 0, 256, 4, 1],
        [9, 3, 64, 40, 7, 0, 96, 1, 1],
        [32, 8, 128, 300, 1, 256, 128, 2, 0],
        [8, 1, 80, 100, 3, 64, 64, 1, 0],
        [4, 4, 96, 31, 5, 0, 64, 1, 1],
        [14, 2, 64, 500, 1, 0, 512, 2, 1],
        [2, 1, 32, 70, 40, 64, 64, 1, 0],
        [32, 2, 64, 100, 1, 64, 64, 1, 1],
        // A segment that lies wholly after some of the tokens.
        [4, 2, 64, 60, 8, 64, 64, 1, 0],
        [9, 3, 64, 480, 32, 0, 512, 1, 1],
    ]
    .into_iter()
    .flat_map(|numbers| case(shape(numbers), plain, Scores::Random))
    .collect();
    // Tiles of each size; a segment that lies wholly after some of the tokens; one after another.
    for numbers in [
        [9, 3, 64, 150, 1, 0, 256, 1, 1],
        [8, 1, 80, 100, 1, 64, 64, 1, 0],
        [4, 2, 64, 60, 8, 64, 64, 1, 0],
        [9, 3, 64, 40, 7, 0, 96, 1, 1],
    ] {
        cases.extend(case(
            Shape {
                finish: true,
                ..shape(numbers)
            },
            plain,
            Scores::Random,
        ));
    }
    for k in KvType::ALL {
        for v in KvType::ALL {
            let kv = KvFormat {
                k,
                v,
                hadamard: true,
            };
            // Keys and values are read apart from each other: not every pair on variants that
            // compile for long.
            let pairs =
                case(shape([4, 1, 128, 190, 1, 0, 192, 2, 1]), kv, Scores::Random).into_iter();
            cases.extend(pairs.filter(|case| k == v || case.variant < DECODE));
        }
    }
    for kind in KvType::ALL {
        let kv = KvFormat {
            k: kind,
            v: kind,
            hadamard: true,
        };
        cases.extend(case(
            shape([4, 2, 80, 90, 9, 32, 128, 1, 0]),
            kv,
            Scores::Random,
        ));
        let wide = case(shape([8, 1, 96, 63, 1, 0, 64, 1, 1]), kv, Scores::Random).into_iter();
        cases.extend(wide.filter(|case| kind == KvType::Q8_0 || case.variant < DECODE));
    }
    // Pages that end before, at and after a segment's begin and end, and within a pass.
    let paged = KvFormat {
        k: KvType::Q4_0,
        v: KvType::Q8_0,
        hadamard: true,
    };
    for position in [0, 63, 64, 127, 128, 191, 192, 255] {
        cases.extend(case(
            shape([4, 2, 64, position, 1, 64, 128, 2, 0]),
            paged,
            Scores::Random,
        ));
        cases.extend(case(
            shape([4, 2, 64, position, 17, 64, 128, 1, 1]),
            paged,
            Scores::Random,
        ));
    }
    // Scores of all magnitudes, at positions either side of tiles and of the segment's end, in 1 to
    // 64 splits.
    for scores in [
        Scores::Uniform,
        Scores::Rising,
        Scores::Falling,
        Scores::Spikes,
    ] {
        for splits in [1, 2, 7, 64] {
            cases.extend(case(
                shape([4, 2, 64, 1000, 1, 0, 1024, splits, 1]),
                plain,
                scores,
            ));
        }
        for position in [62, 63, 64, 191, 192] {
            cases.extend(case(
                shape([4, 2, 64, position, 1, 64, 128, 2, 0]),
                plain,
                scores,
            ));
            cases.extend(case(
                shape([4, 2, 64, position, 17, 64, 128, 1, 0]),
                plain,
                scores,
            ));
        }
    }
    cases
}

/// The case on the variants for CPUs and for GPUs.
fn case(shape: Shape, kv: KvFormat, scores: Scores) -> Vec<Case> {
    let rows = shape.count * (shape.heads / shape.kv_heads);
    let cpu = if rows > FEW_ROWS {
        &[BLOCK, BLOCK_SPREAD][..]
    } else {
        &[FEW]
    };
    let gpu = if shape.count == 1 {
        &[DECODE, DECODE32][..]
    } else {
        &[PREFILL, MATRIX]
    };
    let gpu = gpu.iter().filter(|_| !shape.finish);
    cpu.iter()
        .chain(gpu)
        .map(|&variant| on(variant, shape, kv, scores))
        .collect()
}

fn on(variant: usize, shape: Shape, kv: KvFormat, scores: Scores) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        position,
        count,
        first,
        len,
        splits,
        fresh,
        finish,
    } = shape;
    let mut random = Random::new(u64::from(position + count));
    let scale = 1.0 / (head_dim as f32).sqrt();
    let [k_words, v_words] = kv.words(head_dim);
    let (q_width, page) = ((heads + 2 * kv_heads) * head_dim, kv.page());
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        splits,
        first,
        len,
        scale,
        fresh,
        k_words,
        v_words,
        q_width,
        page,
        finish: finish.into(),
        one: 1,
        reserved0: 0,
        reserved1: 0,
    };
    let mut q = random.activations((count * q_width) as usize);
    if scores != Scores::Random {
        // The first float of a query is 1 before scaling, the others are 0: a key's first float is
        // its score.
        q.iter_mut().enumerate().for_each(|(i, q)| {
            *q = if (i as u32).is_multiple_of(head_dim) {
                1.0 / scale
            } else {
                0.0
            }
        });
    }
    let mut k = vec![0; (len * kv_heads * k_words) as usize];
    let mut v = vec![0; (len * kv_heads * v_words) as usize];
    for slot in 0..len {
        let ramp = 160.0 * slot as f32 / (len - 1) as f32 - 80.0;
        for head in 0..kv_heads {
            let mut key: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
            key[0] = match scores {
                Scores::Random => key[0],
                Scores::Uniform => 0.0,
                Scores::Rising => ramp,
                Scores::Falling => -ramp,
                Scores::Spikes => {
                    if matches!(slot % 64, 0 | 63) {
                        80.0
                    } else {
                        -80.0
                    }
                }
            };
            Layout {
                keys: true,
                kv_heads,
                words: k_words,
            }
            .write(&mut k, slot, head, &key);
            // Where all weigh the same, the mean of the positions' bits is known.
            let value: Vec<f32> = match scores {
                Scores::Uniform => (0..head_dim)
                    .map(|d| (slot >> (d % 10) & 1) as f32)
                    .collect(),
                _ => (0..head_dim).map(|_| random.normal()).collect(),
            };
            Layout {
                keys: false,
                kv_heads,
                words: v_words,
            }
            .write(&mut v, slot, head, &value);
        }
    }
    let rows = count * (heads / kv_heads);
    let mut states = random.activations((splits * count * heads * (head_dim + 2)) as usize);
    for state in states.chunks_exact_mut(head_dim as usize + 2) {
        state[head_dim as usize + 1] = state[head_dim as usize + 1].abs() + 1.0;
    }
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} at {position} tokens {count} segment \
             {first}+{len} splits {splits} {kv} {scores:?}{}",
            if finish { " finish" } else { "" }
        ),
        variant,
        overrides: kv.overrides_for(head_dim),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, count),
            format: None,
            buffers: vec![
                words(&q),
                k,
                v,
                words(&states),
                words(&random.activations((count * heads * head_dim) as usize)),
            ],
            workgroups: [rows.div_ceil(ROWS[variant]), kv_heads, splits],
        },
        // Halves have 11 bits.
        nmse: if variant == MATRIX { 1e-6 } else { 1e-10 },
    }
}
