use super::{AttentionVariant, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, KvType, Layout};
use crate::testing::{Random, words};

/// How the scores of a case change from slot to slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scores {
    Random,
    /// Keys are zero: all slots have the same weight.
    Uniform,
    /// From -80 up to 80.
    Rising,
    /// From 80 down to -80.
    Falling,
    /// 80 at the first and last slot of each 64, else -80.
    Spikes,
}

#[derive(Clone, Copy)]
struct Shape {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    /// Position of the first token.
    position: u32,
    tokens: u32,
    segment_start: u32,
    segment_len: u32,
    splits: u32,
    is_first_segment: bool,
    /// Whether the output is stored instead of partials; only the variants for CPUs do that.
    write_output: bool,
}

/// One token at the beginning of a small model.
const SHAPE: Shape = Shape {
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    position: 0,
    tokens: 1,
    segment_start: 0,
    segment_len: 64,
    splits: 1,
    is_first_segment: true,
    write_output: false,
};

/// A later segment, from position 64 on.
const SECOND_SEGMENT: Shape = Shape {
    segment_start: 64,
    is_first_segment: false,
    ..SHAPE
};

/// The heads of SmolLM2-135M.
const SMOL: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    ..SHAPE
};

/// Eight query heads that share a KV head of 80 floats.
const WIDE: Shape = Shape {
    heads: 8,
    kv_heads: 1,
    head_dim: 80,
    position: 100,
    ..SECOND_SEGMENT
};

pub fn cases() -> Vec<Case> {
    let plain = KvFormat::default();
    let mut cases = Vec::new();
    let mut add = |shape, kv, scores| cases.extend(on_all_variants(shape, kv, scores));
    let long_segment = Shape {
        position: 150,
        segment_len: 256,
        ..SMOL
    };
    let seven_tokens = Shape {
        position: 40,
        tokens: 7,
        segment_len: 96,
        ..SMOL
    };
    // The segment lies wholly after some of the tokens.
    let after_tokens = Shape {
        position: 60,
        tokens: 8,
        ..SECOND_SEGMENT
    };
    for shape in [
        SMOL,
        Shape {
            splits: 4,
            ..long_segment
        },
        seven_tokens,
        Shape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            position: 300,
            segment_start: 256,
            segment_len: 128,
            splits: 2,
            ..SECOND_SEGMENT
        },
        Shape { tokens: 3, ..WIDE },
        Shape {
            kv_heads: 4,
            head_dim: 96,
            position: 31,
            tokens: 5,
            ..SHAPE
        },
        Shape {
            heads: 14,
            position: 500,
            segment_len: 512,
            splits: 2,
            ..SHAPE
        },
        Shape {
            heads: 2,
            kv_heads: 1,
            head_dim: 32,
            position: 70,
            tokens: 40,
            ..SECOND_SEGMENT
        },
        Shape {
            heads: 32,
            position: 100,
            segment_start: 64,
            ..SHAPE
        },
        after_tokens,
        Shape {
            position: 480,
            tokens: 32,
            segment_len: 512,
            ..SMOL
        },
    ] {
        add(shape, plain, Scores::Random);
    }
    // The output, for few rows and for many, and after an earlier segment.
    for shape in [long_segment, WIDE, after_tokens, seven_tokens] {
        add(
            Shape {
                write_output: true,
                ..shape
            },
            plain,
            Scores::Random,
        );
    }
    for k in KvType::ALL {
        for v in KvType::ALL {
            let kv = KvFormat {
                k,
                v,
                hadamard: true,
            };
            let shape = Shape {
                kv_heads: 1,
                head_dim: 128,
                position: 190,
                segment_len: 192,
                splits: 2,
                ..SHAPE
            };
            // Keys and values are read independently, so the variants that compile slowly get some
            // of the pairs only.
            let pairs = on_all_variants(shape, kv, Scores::Random);
            cases.extend(pairs.into_iter().filter(|case| k == v || !is_decode(case)));
        }
    }
    for kind in KvType::ALL {
        let kv = KvFormat {
            k: kind,
            v: kind,
            hadamard: true,
        };
        let many = Shape {
            head_dim: 80,
            position: 90,
            tokens: 9,
            segment_start: 32,
            segment_len: 128,
            ..SECOND_SEGMENT
        };
        cases.extend(on_all_variants(many, kv, Scores::Random));
        let one = Shape {
            heads: 8,
            kv_heads: 1,
            head_dim: 96,
            position: 63,
            ..SHAPE
        };
        let one = on_all_variants(one, kv, Scores::Random);
        cases.extend(
            one.into_iter()
                .filter(|case| kind == KvType::Q8_0 || !is_decode(case)),
        );
    }
    let mut add = |shape, kv, scores| cases.extend(on_all_variants(shape, kv, scores));
    // Tail blocks that end before, at and after a segment's begin and end, and within a pass.
    let with_tail = KvFormat {
        k: KvType::Q4_0,
        v: KvType::Q8_0,
        hadamard: true,
    };
    for position in [0, 63, 64, 127, 128, 191, 192, 255] {
        let one = Shape {
            position,
            segment_len: 128,
            splits: 2,
            ..SECOND_SEGMENT
        };
        add(one, with_tail, Scores::Random);
        let many = Shape {
            tokens: 17,
            splits: 1,
            is_first_segment: true,
            ..one
        };
        add(many, with_tail, Scores::Random);
    }
    // Scores of all magnitudes, at positions on both sides of tiles and of the segment's end, in 1
    // to 64 splits.
    for scores in [
        Scores::Uniform,
        Scores::Rising,
        Scores::Falling,
        Scores::Spikes,
    ] {
        for splits in [1, 2, 7, 64] {
            add(
                Shape {
                    position: 1000,
                    segment_len: 1024,
                    splits,
                    ..SHAPE
                },
                plain,
                scores,
            );
        }
        for position in [62, 63, 64, 191, 192] {
            let one = Shape {
                position,
                segment_len: 128,
                splits: 2,
                ..SECOND_SEGMENT
            };
            add(one, plain, scores);
            add(
                Shape {
                    tokens: 17,
                    splits: 1,
                    ..one
                },
                plain,
                scores,
            );
        }
    }
    cases
}

fn is_decode(case: &Case) -> bool {
    [AttentionVariant::Decode, AttentionVariant::DecodeSubgroup32]
        .iter()
        .any(|&variant| case.variant == variant as usize)
}

/// The case on all variants that can run it.
fn on_all_variants(shape: Shape, kv: KvFormat, scores: Scores) -> Vec<Case> {
    let rows = shape.tokens * (shape.heads / shape.kv_heads);
    let for_cpus = if rows > AttentionVariant::MAX_FEW_ROWS {
        &[AttentionVariant::Cpu, AttentionVariant::CpuSubgroup][..]
    } else {
        &[AttentionVariant::CpuFewRows]
    };
    let for_gpus = match shape.tokens {
        _ if shape.write_output => &[][..],
        1 => &[AttentionVariant::Decode, AttentionVariant::DecodeSubgroup32],
        _ => &[AttentionVariant::Prefill, AttentionVariant::PrefillCoop],
    };
    let variants = for_cpus.iter().chain(for_gpus);
    variants
        .map(|&variant| on_variant(variant, shape, kv, scores))
        .collect()
}

fn on_variant(variant: AttentionVariant, shape: Shape, kv: KvFormat, scores: Scores) -> Case {
    let Shape {
        heads,
        kv_heads,
        head_dim,
        position,
        tokens,
        segment_start,
        segment_len,
        ..
    } = shape;
    let attention_shape = AttentionShape {
        heads,
        kv_heads,
        head_dim,
    };
    let mut random = Random::new(u64::from(position + tokens));
    let scale = attention_shape.score_scale();
    let [k_words, v_words] = kv.words(head_dim);
    let params = Params {
        heads,
        kv_heads,
        head_dim,
        splits: shape.splits,
        segment_start,
        segment_len,
        scale,
        is_first_segment: shape.is_first_segment.into(),
        k_words,
        v_words,
        q_stride: attention_shape.qkv_width(),
        tail_block: kv.tail_block(),
        write_output: shape.write_output.into(),
        one: 1,
        reserved0: 0,
        reserved1: 0,
    };
    let mut q = random.activations((tokens * params.q_stride) as usize);
    if scores != Scores::Random {
        // The first float of a query is 1 after scaling, the others are 0: a key's first float is
        // its score.
        for (i, q) in q.iter_mut().enumerate() {
            *q = if (i as u32).is_multiple_of(head_dim) {
                1.0 / scale
            } else {
                0.0
            };
        }
    }
    let mut k = vec![0; (segment_len * kv_heads * k_words) as usize];
    let mut v = vec![0; (segment_len * kv_heads * v_words) as usize];
    for slot in 0..segment_len {
        let rising = 160.0 * slot as f32 / (segment_len - 1) as f32 - 80.0;
        for head in 0..kv_heads {
            let mut key: Vec<f32> = (0..head_dim).map(|_| random.normal()).collect();
            key[0] = match scores {
                Scores::Random => key[0],
                Scores::Uniform => 0.0,
                Scores::Rising => rising,
                Scores::Falling => -rising,
                Scores::Spikes if matches!(slot % 64, 0 | 63) => 80.0,
                Scores::Spikes => -80.0,
            };
            let layout = Layout {
                keys: true,
                kv_heads,
                words: k_words,
            };
            layout.write(&mut k, slot, head, &key);
            let value: Vec<f32> = match scores {
                // The output is then the mean of the bits of the slots, which is known.
                Scores::Uniform => (0..head_dim)
                    .map(|d| (slot >> (d % 10) & 1) as f32)
                    .collect(),
                _ => (0..head_dim).map(|_| random.normal()).collect(),
            };
            let layout = Layout {
                keys: false,
                kv_heads,
                words: v_words,
            };
            layout.write(&mut v, slot, head, &value);
        }
    }
    let rows = tokens * attention_shape.heads_per_kv_head();
    let partial_len = head_dim + 2;
    let mut partials = random.activations((shape.splits * tokens * heads * partial_len) as usize);
    for partial in partials.chunks_exact_mut(partial_len as usize) {
        let row_sum = &mut partial[head_dim as usize + 1];
        *row_sum = row_sum.abs() + 1.0;
    }
    let out = random.activations((tokens * heads * head_dim) as usize);
    Case {
        name: format!(
            "{heads}/{kv_heads} heads of {head_dim} at {position} tokens {tokens} \
             segment {segment_start}+{segment_len} splits {} {kv} {scores:?}{}",
            shape.splits,
            if shape.write_output { " output" } else { "" }
        ),
        variant: variant as usize,
        overrides: kv.overrides_for(head_dim),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(position, tokens),
            format: None,
            buffers: vec![words(&q), k, v, words(&partials), words(&out)],
            workgroups: [
                rows.div_ceil(variant.rows_per_workgroup()),
                kv_heads,
                shape.splits,
            ],
        },
        // f16 has 11 bits.
        nmse: if variant == AttentionVariant::PrefillCoop {
            1e-6
        } else {
            1e-10
        },
    }
}
