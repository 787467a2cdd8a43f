use super::super::{AttentionVariant, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, Layout};
use crate::testing::{Random, words};

/// How the scores of a case change from slot to slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scores {
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
pub struct Shape {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    /// Position of the first token.
    pub position: u32,
    pub tokens: u32,
    pub segment_start: u32,
    pub segment_len: u32,
    pub splits: u32,
    pub is_first_segment: bool,
    /// Whether the output is stored instead of partials; only the variants for CPUs do that.
    pub write_output: bool,
}

/// The case on all variants that can run it.
pub fn on_all_variants(shape: Shape, kv: KvFormat, scores: Scores) -> Vec<Case> {
    let rows = shape.tokens * (shape.heads / shape.kv_heads);
    let for_cpus = if rows > AttentionVariant::MAX_FEW_ROWS {
        &[AttentionVariant::Cpu, AttentionVariant::CpuSubgroup][..]
    } else {
        &[
            AttentionVariant::CpuFewRows,
            AttentionVariant::CpuFewRowsSubgroup,
        ]
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
                // With equal weights the output is the mean of the slots' bits.
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
