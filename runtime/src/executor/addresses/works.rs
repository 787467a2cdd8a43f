//! What sessions and schedulers do, with the steps that reach farthest.

use super::*;

/// All plans of a session, with the steps that reach farthest.
pub(super) fn works_of_sequence(
    kv: &KvSegments,
    chunk: u32,
    context: u32,
) -> Vec<(Work, Vec<Step>)> {
    let mut works = Vec::new();
    let segments = kv.segments_to(context);
    for segments in [1, segments] {
        let end = kv.end_of(segments - 1).min(context);
        let steps = |most: u32| {
            let counts = [1, most.div_ceil(2), most].map(|count| count.min(end));
            counts
                .into_iter()
                .flat_map(|count| [Step::new(0, count), Step::new(end - count, count)])
                .collect()
        };
        for outputs in [false, true] {
            // One token of a prefill is a pass for one; scoring and calibration ask for what comes
            // out.
            let pass = |chunk| Pass {
                chunk,
                segments,
                single_pass: false,
                as_single_tokens: false,
                outputs,
            };
            for chunk in pass_chunks(chunk).filter(|&tokens| tokens <= chunk) {
                works.push((Work::Transformer(pass(chunk)), steps(chunk)));
                works.push((Work::Calibrate(pass(chunk)), steps(chunk)));
                if chunk <= SCORED {
                    let guessed = Pass {
                        as_single_tokens: true,
                        ..pass(chunk)
                    };
                    works.push((Work::Transformer(guessed), steps(chunk)));
                }
            }
        }
        let pass = Pass {
            chunk: 1,
            segments,
            single_pass: false,
            as_single_tokens: false,
            outputs: true,
        };
        works.push((Work::Decode(pass), steps(1)));
        let last = end.min(MAX_SINGLE_PASS_TOKENS) - 1;
        works.push((
            Work::Decode(Pass {
                single_pass: true,
                ..pass
            }),
            vec![Step::new(0, 1), Step::new(last, 1)],
        ));
    }
    let of_a_pass = || vec![Step::new(0, 1), Step::new(0, chunk)];
    works.push((Work::Logits, of_a_pass()));
    works.push((Work::Outputs, of_a_pass()));
    let firsts: Vec<u32> = (0..chunk).step_by(SCORED as usize).collect();
    for first in [
        firsts[0],
        firsts[firsts.len() / 2],
        firsts[firsts.len() - 1],
    ] {
        let count = SCORED;
        works.push((Work::Scores { first, count }, of_a_pass()));
    }
    for count in [1, 2, 4] {
        works.push((Work::Scores { first: 0, count }, of_a_pass()));
    }
    for greedy in [false, true] {
        for adjusted in [false, true] {
            let how = RowChoice {
                greedy,
                sampled: !greedy,
                adjusted,
                log_probs: false,
            };
            for rows in [1, SCORED] {
                let all = Step {
                    outputs: rows,
                    ..CHOOSE
                };
                works.push((Work::Choose { rows, how }, vec![all]));
            }
        }
    }
    works
}

/// All plans of a scheduler, with the steps that reach farthest.
pub(super) fn works_of_batches(
    can_be_direct: bool,
    kv: &KvSegments,
    size: ScratchSize,
) -> Vec<(Work, Vec<Step>)> {
    let mut works = Vec::new();
    let most = size.batch.unwrap_or_default();
    for class in [RowClass::Decode, RowClass::Prompt] {
        for rows in [1, size.chunk.div_ceil(2), size.chunk] {
            for (outputs, deterministic) in
                [(0, false), (size.outputs, false), (size.outputs, true)]
            {
                let pass = BatchPass {
                    rows,
                    items: most.items,
                    item_tokens: rows,
                    segments: kv.segments_to(u32::MAX),
                    class,
                    direct: can_be_direct && deterministic,
                    deterministic,
                    outputs,
                };
                let step = |items, count| Step {
                    position: u32::MAX,
                    count,
                    items,
                    outputs: outputs.min(count),
                };
                works.push((Work::Batch(pass), vec![step(1, 1), step(most.items, rows)]));
            }
        }
    }
    for outputs in [1, size.outputs.min(2), size.outputs] {
        let step = Step {
            position: 0,
            count: outputs,
            items: 0,
            outputs,
        };
        for deterministic in [false, true] {
            let logits = Work::BatchLogits {
                outputs,
                deterministic,
            };
            works.push((logits, vec![step]));
        }
        let how = RowChoice {
            greedy: true,
            sampled: true,
            adjusted: true,
            log_probs: true,
        };
        works.push((Work::Choose { rows: outputs, how }, vec![step]));
    }
    works
}
