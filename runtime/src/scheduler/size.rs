//! How much a pass of a scheduler may have of everything.

use godwit_shaders::kernels::attention::paged::token_partial_bytes;
use godwit_shaders::{Capabilities, PAGE, WorkItem};

use super::MOST_ROWS;
use super::ahead::CHOSEN_PER_ROW;
use super::batch::MOST_SPANS;
use crate::engine::heads;
use crate::model::{BatchSize, Config, ScratchSize};
use crate::speculation::MOST_DRAFTED;

/// Work items of one row beyond one for each span: its pages may lie in several segments.
const MORE_ITEMS: u32 = 16;

/// The size of passes for so many running requests and tokens of prompts, of `chunk` at most, in
/// sequences of a context. No buffer is larger than a binding: what does not fit is several passes.
pub(crate) fn scratch_size(
    config: &Config,
    caps: &Capabilities,
    running: u32,
    prompt_tokens: u32,
    chunk: u32,
    context: u32,
) -> ScratchSize {
    let most = caps.max_binding.min(caps.max_buffer);
    let fitting = |count: u32, bytes: u64| {
        let fits = u32::try_from(most / bytes).unwrap_or(u32::MAX);
        count.min(fits).max(1)
    };
    let logits = 4 * u64::from(config.vocab.next_multiple_of(4));
    let wanted = running * (1 + MOST_DRAFTED as u32);
    let outputs = fitting(wanted.min(MOST_ROWS).min(chunk), logits);
    let rows = prompt_tokens.max(outputs);
    let spans = outputs * (MOST_SPANS + MORE_ITEMS);
    let batch = BatchSize {
        items: fitting(rows * 2 + spans, size_of::<WorkItem>() as u64),
        pages: fitting(outputs.saturating_mul(context.div_ceil(PAGE) + 1), 4),
        partials: fitting(spans.max(rows * 4), token_partial_bytes(heads(config))),
        chosen: outputs * CHOSEN_PER_ROW,
    };
    ScratchSize {
        chunk: rows,
        outputs,
        adjustments: config.vocab + outputs * 256,
        batch: Some(batch),
    }
}
