mod fixture;

use super::AttentionVariant;
use crate::kernel::Case;
use crate::kv::{KvFormat, KvType};

use fixture::{Scores, Shape, on_all_variants};

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
