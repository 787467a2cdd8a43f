//! Chunks of sequences as what kernels read: rows, work items, a list of pages.

use std::collections::BTreeMap;

use godwit_shaders::{BatchRow, PAGE, WorkItem};

use super::plan::Chunk;
use crate::kv_cache::KvSegments;

/// How the positions that a row attends to are divided among work items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spans {
    /// All in one: where rows alone keep the device busy.
    Whole,
    /// As many as keep a GPU busy with one row. A span's length depends on the row's own length
    /// only, so that its result does not depend on other rows.
    Split,
}

/// The most spans of a row.
pub(super) const MOST_SPANS: u32 = 64;

impl Spans {
    /// Positions of a span of a row that attends to `len`.
    fn len(self, len: u32) -> u32 {
        match self {
            Self::Whole => len.next_multiple_of(PAGE),
            Self::Split => len.div_ceil(MOST_SPANS).next_multiple_of(256).max(256),
        }
    }
}

/// What a pass reads besides weights and cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub tokens: Vec<u32>,
    pub rows: Vec<BatchRow>,
    pub items: Vec<WorkItem>,
    /// The pages of all chunks, one chunk behind the other.
    pub pages: Vec<u32>,
    /// Rows whose logits are wanted.
    pub outputs: Vec<u32>,
    /// Token partials that are written.
    pub partials: u32,
    /// Positions that all items attend to together.
    pub attended: u64,
    /// The most tokens of an item.
    pub item_tokens: u32,
}

impl Batch {
    pub fn new(chunks: &[Chunk], spans: Spans, segments: &KvSegments) -> Self {
        let mut batch = Self::default();
        for chunk in chunks {
            batch.push(chunk, spans, segments);
        }
        batch
    }

    fn push(&mut self, chunk: &Chunk, spans: Spans, segments: &KvSegments) {
        let (tokens, first_row) = (chunk.tokens.len() as u32, self.rows.len() as u32);
        let (end, first_partial) = (chunk.position + tokens, self.partials);
        self.tokens.extend(&chunk.tokens);
        self.item_tokens = self.item_tokens.max(tokens);
        let mut partials = 0;
        for Run {
            segment,
            pages,
            begin,
        } in runs(chunk, segments)
        {
            let run_end = end.min(begin + pages.len() as u32 * PAGE);
            let span = spans.len(end);
            for (i, span_pages) in (0..).zip(pages.chunks((span / PAGE) as usize)) {
                let (begin, span_end) = (begin + i * span, run_end.min(begin + (i + 1) * span));
                self.items.push(WorkItem {
                    first_row,
                    tokens,
                    position: chunk.position,
                    begin,
                    end: span_end,
                    first_page: self.pages.len() as u32,
                    partial: first_partial + partials * tokens,
                    segment,
                });
                self.pages.extend(span_pages);
                self.attended += u64::from(span_end - begin);
                partials += 1;
            }
        }
        self.partials += partials * tokens;
        for (i, position) in (0..).zip(chunk.position..end) {
            self.rows.push(BatchRow {
                position,
                slot: chunk.table[(position / PAGE) as usize] * PAGE + position % PAGE,
                first_partial: first_partial + i,
                partials,
                partial_stride: tokens,
                ..BatchRow::default()
            });
        }
        let rows = self.rows.len() as u32;
        self.outputs.extend(rows - chunk.outputs as u32..rows);
    }

    /// Whether each row has all of its positions in one item.
    pub fn is_direct(&self) -> bool {
        self.rows.iter().all(|row| row.partials == 1)
    }
}

/// Pages of a chunk's sequence that lie in one segment, in order.
struct Run {
    segment: u32,
    pages: Vec<u32>,
    /// Where the run counts its positions from. All tokens of the chunk see the pages before their
    /// own, wherever those are counted; the positions of their own pages are what they are.
    begin: u32,
}

/// The pages of a chunk's sequence by segment. The pages that the chunk writes to end a run; where
/// they lie in several segments, they are several runs.
fn runs(chunk: &Chunk, segments: &KvSegments) -> Vec<Run> {
    let own = chunk.position / PAGE;
    let mut runs: Vec<Run> = Vec::new();
    let mut by_segment = BTreeMap::<u32, Vec<u32>>::new();
    let mut last_own = None;
    for (number, &page) in (0..).zip(&chunk.table) {
        let segment = segments.segment_of(page * PAGE) as u32;
        if number < own {
            by_segment.entry(segment).or_default().push(page);
        } else if let Some(run) = runs.last_mut().filter(|_| last_own == Some(segment)) {
            run.pages.push(page);
        } else {
            let mut pages = by_segment.remove(&segment).unwrap_or_default();
            let begin = (number - pages.len() as u32) * PAGE;
            pages.push(page);
            runs.push(Run {
                segment,
                pages,
                begin,
            });
            last_own = Some(segment);
        }
    }
    let others = by_segment.into_iter();
    runs.extend(others.map(|(segment, pages)| Run {
        segment,
        pages,
        begin: 0,
    }));
    runs
}
