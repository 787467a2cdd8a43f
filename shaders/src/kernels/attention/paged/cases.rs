use super::super::AttentionVariant;
use super::fixture::{Batch, Sequence};
use crate::kernel::Case;
use crate::kv::{AttentionShape, KvFormat, KvType};

const DECODE: [AttentionVariant; 4] = [
    AttentionVariant::CpuFewRows,
    AttentionVariant::CpuFewRowsSubgroup,
    AttentionVariant::Decode,
    AttentionVariant::DecodeSubgroup32,
];

const PROMPT: [AttentionVariant; 4] = [
    AttentionVariant::Cpu,
    AttentionVariant::CpuSubgroup,
    AttentionVariant::Prefill,
    AttentionVariant::PrefillCoop,
];

/// The variants that store outputs.
const DIRECT: [AttentionVariant; 4] = [
    AttentionVariant::CpuFewRows,
    AttentionVariant::CpuFewRowsSubgroup,
    AttentionVariant::Cpu,
    AttentionVariant::CpuSubgroup,
];

fn sequences(sizes: &[(u32, u32)]) -> Vec<Sequence> {
    sizes
        .iter()
        .zip(1..)
        .map(|(&(position, tokens), seed)| Sequence {
            seed,
            position,
            tokens,
        })
        .collect()
}

/// A token of each of these lengths, among them those next to a page's end.
fn lengths() -> Vec<Sequence> {
    sequences(&[0, 62, 63, 64, 199, 699].map(|position| (position, 1)))
}

/// A batch of single tokens of small models.
fn decode() -> Batch {
    Batch {
        shape: AttentionShape {
            heads: 9,
            kv_heads: 3,
            head_dim: 64,
        },
        kv: KvFormat::default(),
        sequences: lengths(),
        span: 256,
        item_tokens: 1,
        segment: 0,
        direct: false,
        first_in_segment: false,
        shuffle: 1,
    }
}

/// Chunks of prompts, and a single token among them.
fn prompt() -> Batch {
    Batch {
        sequences: sequences(&[(0, 20), (63, 1), (100, 50), (250, 17)]),
        item_tokens: 50,
        shuffle: 2,
        ..decode()
    }
}

fn both_segments(batch: Batch) -> [Batch; 2] {
    [0, 1].map(|segment| Batch {
        segment,
        ..batch.clone()
    })
}

/// Query heads, KV heads, the length of a head, and a type that needs no f16 tail.
const TYPES: [(u32, u32, u32, KvType); 4] = [
    (9, 3, 64, KvType::F16),
    (8, 1, 80, KvType::F16),
    (4, 4, 96, KvType::Q8_0),
    (8, 2, 128, KvType::F32),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |batch: Batch, variants: &[AttentionVariant]| {
        for &variant in variants {
            cases.push(batch.on(variant).case);
        }
    };
    for batch in both_segments(decode())
        .into_iter()
        .chain(both_segments(Batch {
            span: 64,
            ..decode()
        }))
    {
        add(batch, &DECODE);
    }
    for batch in both_segments(prompt()) {
        add(batch, &PROMPT);
    }
    // Compiling is most of the work, and each length of a head and type is compiled anew: a length
    // has one type here. First, several tokens of an item, each with its own end.
    for (heads, kv_heads, head_dim, kind) in TYPES {
        let batch = Batch {
            shape: AttentionShape {
                heads,
                kv_heads,
                head_dim,
            },
            kv: KvFormat {
                k: kind,
                v: kind,
                hadamard: true,
            },
            ..decode()
        };
        for (sizes, item_tokens, span) in [
            (&[(60, 8), (300, 5), (0, 3)], 8, 256),
            (&[(62, 4), (500, 6), (70, 1)], 6, 512),
        ] {
            let batch = Batch {
                sequences: sequences(sizes),
                item_tokens,
                span,
                ..batch.clone()
            };
            add(batch, &DECODE);
        }
        let batch = Batch {
            sequences: sequences(&[(5, 9), (150, 40)]),
            item_tokens: 20,
            span: 128,
            ..batch
        };
        add(batch, &PROMPT);
    }
    for variant in DIRECT {
        let batch = match variant {
            AttentionVariant::CpuFewRows | AttentionVariant::CpuFewRowsSubgroup => decode(),
            _ => prompt(),
        };
        let batch = Batch {
            span: 1024,
            direct: true,
            ..batch
        };
        for batch in both_segments(batch) {
            add(batch, &[variant]);
        }
    }
    cases
}

/// Two batches that hold the same rows of a sequence.
pub struct Pair {
    /// The rows, alone in their batch.
    pub alone: Case,
    /// The rows among others of their own and of other sequences, with pages at other places.
    pub among: Case,
    /// For each result of a row, its buffer, and its words in one case and in the other.
    pub results: Vec<(usize, [std::ops::Range<usize>; 2])>,
}

/// Pairs for all variants, and for two that must agree. The results must be equal to the bit.
pub fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add =
        |[alone_on, among_on]: [AttentionVariant; 2], batch: &Batch, rows: u32, others: u32| {
            // The row's own positions are a multiple of 256, and those of the next token, which may
            // be in the same block of rows, one more.
            let sequence = |tokens| Sequence {
                seed: 1,
                position: 511,
                tokens,
            };
            let alone = Batch {
                sequences: vec![sequence(rows)],
                item_tokens: rows,
                first_in_segment: true,
                ..batch.clone()
            };
            let mut sequences = vec![sequence(rows + others)];
            sequences.extend(batch.sequences.iter().map(|other| Sequence {
                seed: other.seed + 1,
                ..*other
            }));
            let among = Batch {
                sequences,
                item_tokens: rows + others,
                first_in_segment: true,
                shuffle: batch.shuffle + 1,
                ..batch.clone()
            };
            let [alone, among] = [alone.on(alone_on), among.on(among_on)];
            let results = alone.results.iter().zip(&among.results);
            let results = results.flat_map(|(alone, among)| alone.iter().zip(among));
            let results = results
                .map(|((buffer, a), (_, b))| (*buffer, [a.clone(), b.clone()]))
                .collect();
            pairs.push(Pair {
                alone: alone.case,
                among: among.case,
                results,
            });
        };
    for variant in DECODE {
        for (span, rows, others) in [(64, 1, 5), (1024, 1, 7)] {
            add([variant; 2], &Batch { span, ..decode() }, rows, others);
        }
    }
    for variant in PROMPT {
        for (span, rows, others) in [(128, 1, 49), (1024, 5, 45)] {
            add([variant; 2], &Batch { span, ..prompt() }, rows, others);
        }
    }
    for variant in DIRECT {
        let batch = Batch {
            span: 1024,
            direct: true,
            ..decode()
        };
        add([variant; 2], &batch, 2, 6);
    }
    // Items of few rows and of many have variants of their own there.
    for (head_dim, direct) in [(64, false), (64, true), (128, true)] {
        let mut batch = Batch {
            span: 1024,
            direct,
            ..prompt()
        };
        batch.shape.head_dim = head_dim;
        add(
            [
                AttentionVariant::CpuFewRowsSubgroup,
                AttentionVariant::CpuSubgroup,
            ],
            &batch,
            2,
            7,
        );
    }
    pairs
}
