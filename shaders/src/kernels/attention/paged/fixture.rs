//! Batches in host memory.

use super::super::AttentionVariant;
use super::{Params, token_partial_bytes};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kv::{AttentionShape, KvFormat, Layout, PAGE, WorkItem};
use crate::testing::{Random, words};

/// A sequence, of which a batch has consecutive tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    /// Decides its queries, keys and values.
    pub seed: u64,
    /// Position of the first token of the batch.
    pub position: u32,
    pub tokens: u32,
}

/// Sequences over a cache of two segments, each of which could hold all of them.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub shape: AttentionShape,
    pub kv: KvFormat,
    pub sequences: Vec<Sequence>,
    /// Positions of an item, at most; a multiple of [`PAGE`].
    pub span: u32,
    /// Tokens of an item, at most.
    pub item_tokens: u32,
    /// The segment that the dispatch covers.
    pub segment: u32,
    /// Whether the output is stored instead of partials.
    pub direct: bool,
    /// Whether the first sequence lies in that segment alone.
    pub first_in_segment: bool,
    /// Decides where pages are.
    pub shuffle: u64,
}

/// A case, and where its results are.
pub(super) struct Built {
    pub case: Case,
    /// For each token of the first sequence, the buffer and the words of its results.
    pub results: Vec<Vec<(usize, std::ops::Range<usize>)>>,
}

/// Words of cached vectors that nothing has written: NaN in every type.
const UNWRITTEN: u32 = 0x7fc0_7fc0;

impl Batch {
    pub fn on(&self, variant: AttentionVariant) -> Built {
        let shape = self.shape;
        let AttentionShape {
            heads,
            kv_heads,
            head_dim,
        } = shape;
        let mut shuffle = Random::new(self.shuffle);
        let page_count: u32 = self
            .sequences
            .iter()
            .map(|s| (s.position + s.tokens).div_ceil(PAGE))
            .sum();
        let segment_len = page_count * PAGE;
        let mut free = [0, page_count].map(|first| {
            let mut pages: Vec<u32> = (first..first + page_count).collect();
            for i in (1..pages.len()).rev() {
                pages.swap(i, (shuffle.bits() % (i as u64 + 1)) as usize);
            }
            pages
        });
        let [k_words, v_words] = self.kv.words(head_dim);
        let mut k = vec![UNWRITTEN; (segment_len * kv_heads * k_words) as usize];
        let mut v = vec![UNWRITTEN; (segment_len * kv_heads * v_words) as usize];
        let width = shape.qkv_width() as usize;
        let (mut q, mut items, mut pages) = (Vec::new(), Vec::new(), Vec::new());
        let mut partials = 0;
        let mut results: Vec<Vec<_>> = Vec::new();
        for (index, sequence) in self.sequences.iter().enumerate() {
            let first_row = (q.len() / width) as u32;
            let len = sequence.position + sequence.tokens;
            for position in sequence.position..len {
                let mut random = Random::new(sequence.seed + (u64::from(position) << 32));
                q.extend(random.activations(width));
            }
            let first_page = pages.len() as u32;
            let spans = (0..len).step_by(self.span as usize);
            let segments: Vec<u32> = spans
                .clone()
                .map(|_| match (shuffle.bits() % 2) as u32 {
                    _ if index == 0 && self.first_in_segment => self.segment,
                    segment => segment,
                })
                .collect();
            for (begin, &segment) in spans.clone().zip(&segments) {
                for first in (begin..(begin + self.span).min(len)).step_by(PAGE as usize) {
                    let page = free[segment as usize].pop().expect("a page for each");
                    pages.push(page);
                    let slots = page * PAGE - segment * segment_len..;
                    for (position, slot) in (first..len).zip(slots).take(PAGE as usize) {
                        // Sequences don't depend on which segment the case is about.
                        if segment == self.segment {
                            let seed = sequence.seed + u64::from(position) * 0x1_0001;
                            let mut random = Random::new(seed);
                            for head in 0..kv_heads {
                                for (cache, keys, words) in
                                    [(&mut k, true, k_words), (&mut v, false, v_words)]
                                {
                                    let vector: Vec<f32> =
                                        (0..head_dim).map(|_| random.normal()).collect();
                                    let layout = Layout {
                                        keys,
                                        kv_heads,
                                        words,
                                    };
                                    layout.write(cache, slot, head, &vector);
                                }
                            }
                        }
                    }
                }
            }
            for token in (0..sequence.tokens).step_by(self.item_tokens as usize) {
                let tokens = self.item_tokens.min(sequence.tokens - token);
                let position = sequence.position + token;
                if index == 0 {
                    results.resize_with((token + tokens) as usize, Vec::new);
                }
                for (begin, &segment) in spans.clone().zip(&segments) {
                    let end = (begin + self.span).min(position + tokens);
                    if begin >= end {
                        continue;
                    }
                    items.push(WorkItem {
                        first_row: first_row + token,
                        tokens,
                        position,
                        begin,
                        end,
                        first_page: first_page + begin / PAGE,
                        partial: partials,
                        segment,
                    });
                    for t in 0..tokens {
                        let (buffer, at, len) = if self.direct {
                            (4, first_row + token + t, heads * head_dim)
                        } else {
                            (3, partials + t, heads * (head_dim + 2))
                        };
                        if index == 0 && segment == self.segment {
                            let first = (at * len) as usize;
                            results[(token + t) as usize]
                                .push((buffer, first..first + len as usize));
                        }
                    }
                    partials += tokens;
                }
            }
        }
        assert!(
            items.iter().any(|item| item.segment == self.segment),
            "no item is in the segment: {self:?}"
        );
        let rows = (q.len() / width) as u32;
        let params = Params {
            heads,
            kv_heads,
            head_dim,
            segment: self.segment,
            segment_start: self.segment * segment_len,
            segment_len,
            scale: shape.score_scale(),
            token_partials: partials,
            k_words,
            v_words,
            q_stride: shape.qkv_width(),
            page_entries: pages.len() as u32,
            write_output: self.direct.into(),
            one: 1,
            cache_slots: 2 * segment_len,
            reserved0: 0,
        };
        let mut random = Random::new(partials.into());
        let out = random.activations((rows * heads * head_dim) as usize);
        let old = random.activations(partials as usize * token_partial_bytes(shape) as usize / 4);
        let item_rows = self.item_tokens * shape.heads_per_kv_head();
        let lengths: Vec<String> = self
            .sequences
            .iter()
            .map(|s| format!("{}+{}", s.position, s.tokens))
            .collect();
        let step = Step {
            position: items.iter().map(|item| item.end - item.begin).sum(),
            count: rows,
            items: items.len() as u32,
            outputs: 0,
        };
        let case = Case {
            name: format!(
                "{heads}/{kv_heads} heads of {head_dim} at {} spans {} tokens {} segment {} {}{}",
                lengths.join(" "),
                self.span,
                self.item_tokens,
                self.segment,
                self.kv,
                if self.direct { " output" } else { "" }
            ),
            variant: variant as usize,
            overrides: self.kv.overrides_for(head_dim),
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&params).to_vec(),
                step,
                format: None,
                buffers: vec![
                    words(&q),
                    k,
                    v,
                    words(&old),
                    words(&out),
                    bytemuck::cast_slice(&items).to_vec(),
                    pages,
                ],
                // An item and a block of rows more than there are. They must do nothing.
                workgroups: [
                    step.items + 1,
                    kv_heads,
                    item_rows.div_ceil(variant.rows_per_workgroup()) + 1,
                ],
            },
            // f16 has 11 bits.
            nmse: if variant == AttentionVariant::PrefillCoop {
                1e-6
            } else {
                1e-10
            },
        };
        Built { case, results }
    }
}
