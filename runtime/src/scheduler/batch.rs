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
    /// Adds a chunk's rows and work items.
    pub fn push(&mut self, chunk: &Chunk, spans: Spans, segments: &KvSegments) {
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
    /// Where the run counts its positions from. Pages before the chunk's own may be counted
    /// anywhere below its first token, because all of its tokens see them. The positions of its own
    /// pages are what they are.
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
            // Only the first run of the chunk's own pages begins before them: what lies before it
            // is counted below the chunk's first token.
            let before = (number == own).then(|| by_segment.remove(&segment));
            let mut pages = before.flatten().unwrap_or_default();
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

impl Chunk {
    /// Two chunks in place of one, of which the second has the outputs; none where there is a
    /// single token, or where there are guesses.
    pub fn halves(self) -> Option<[Self; 2]> {
        let half = match self.outputs {
            0 | 1 => self.tokens.len() / 2,
            _ => 0,
        };
        if half == 0 {
            return None;
        }
        let end = self.position + half as u32;
        let first = Self {
            tokens: self.tokens[..half].to_vec(),
            table: self.table[..end.div_ceil(PAGE) as usize].to_vec(),
            outputs: 0,
            ..self
        };
        let second = Self {
            position: end,
            tokens: self.tokens[half..].to_vec(),
            ..self
        };
        Some([first, second])
    }
}

#[cfg(test)]
mod tests {
    use godwit_shaders::capabilities::WEBGPU;
    use godwit_shaders::{AttentionShape, Buffers, KvFormat};

    use super::super::request::RequestId;
    use super::*;

    /// Eight segments of two pages.
    fn segments() -> KvSegments {
        let heads = AttentionShape {
            heads: 2,
            kv_heads: 2,
            head_dim: 32,
        };
        let (mut table, kv) = (Buffers::default(), KvFormat::default());
        let mut segments = KvSegments::new(heads, kv, 1, 16 * PAGE, Some(2 * PAGE), &WEBGPU);
        while segments.capacity() < 16 * PAGE {
            segments.grow(&mut table, None);
        }
        segments
    }

    fn chunk(position: u32, tokens: u32, table: &[u32]) -> Chunk {
        Chunk {
            request: RequestId(1),
            position,
            tokens: vec![7; tokens as usize],
            table: table.to_vec(),
            outputs: 1,
            chosen: 0,
        }
    }

    /// Every token sees each position up to its own exactly once, in the right slot.
    fn check(chunk: &Chunk, spans: Spans) {
        let segments = segments();
        let mut batch = Batch::default();
        batch.push(chunk, spans, &segments);
        for t in 0..chunk.tokens.len() as u32 {
            let own = chunk.position + t;
            let mut seen = Vec::new();
            for item in &batch.items {
                let pages = &batch.pages[item.first_page as usize..];
                for virtual_position in item.begin..item.end.min(own + 1) {
                    let at = virtual_position - item.begin;
                    let page = pages[(at / PAGE) as usize];
                    assert_eq!(segments.segment_of(page * PAGE) as u32, item.segment);
                    seen.push(page * PAGE + at % PAGE);
                }
            }
            seen.sort_unstable();
            let slot =
                |position: u32| chunk.table[(position / PAGE) as usize] * PAGE + position % PAGE;
            let mut expected: Vec<u32> = (0..=own).map(slot).collect();
            expected.sort_unstable();
            assert_eq!(seen, expected, "token {t} of {chunk:?}");
        }
    }

    #[test]
    fn every_position_is_attended_to_once() {
        for spans in [Spans::Whole, Spans::Split] {
            check(&chunk(0, 1, &[3]), spans);
            check(&chunk(64, 128, &[2, 0, 3]), spans);
            check(&chunk(100, 100, &[5, 1, 4, 0]), spans);
            check(&chunk(300, 5, &[9, 2, 8, 3, 15]), spans);
            check(&chunk(191, 70, &[9, 2, 8, 3, 15]), spans);
            check(&chunk(600, 1, &[0, 2, 4, 1, 3, 5, 6, 8, 10, 7]), spans);
        }
    }

    #[test]
    fn halves_have_the_same_rows() {
        let whole = chunk(60, 9, &[1, 4]);
        let [first, second] = whole.clone().halves().expect("nine tokens");
        assert_eq!(
            (first.tokens.len(), first.outputs, &first.table[..]),
            (4, 0, &[1][..])
        );
        assert_eq!(
            (second.position, second.tokens.len(), second.outputs),
            (64, 5, 1)
        );
        assert_eq!(second.table, whole.table);
        assert_eq!(chunk(60, 1, &[1]).halves(), None);
    }
}
