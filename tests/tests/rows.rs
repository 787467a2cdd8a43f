//! A row's token, log-probabilities and norm are the same bits, whichever rows are beside it.

use godwit::low_level::gpu::{Gpu, GpuMemory, Prepared};
use godwit_shaders::kernels::adjust::{Adjust, Adjustment};
use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::log_probs::{LogProb, LogProbs, MOST};
use godwit_shaders::kernels::rms_norm::{Norm, RmsNorm, Rows};
use godwit_shaders::kernels::sample::{Choice, NO_TOKEN, Sample};
use godwit_shaders::random::Random;
use godwit_shaders::{Buffers, Plan, Step};
use godwit_tests::model::gpu;
use pollster::block_on;

/// Length of a row's activations.
const WIDTH: u32 = 576;

/// A row of a batch, before the choice.
#[derive(Clone)]
struct Row {
    logits: Vec<f32>,
    choice: Choice,
    adjustments: Vec<Adjustment>,
    x: Vec<f32>,
}

/// A row after the choice, as bits.
#[derive(Clone, Debug, PartialEq)]
struct Chosen {
    token: u32,
    logits: Vec<u32>,
    log_probs: Vec<(u32, u32)>,
    normed: Vec<u32>,
}

fn row(vocab: u32, index: u32) -> Row {
    let mut random = Random::new(u64::from(vocab * 100 + index));
    let logits: Vec<f32> = (0..vocab).map(|_| 3.0 * random.normal()).collect();
    let adjustments: Vec<Adjustment> = (0..3 * (index % 4))
        .map(|i| Adjustment {
            token: (i * 37 + index) % vocab,
            seen: i % 3,
            bias: random.normal(),
            reserved: 0,
        })
        .collect();
    let choice = Choice {
        temperature: [0.0, 0.7, 1.3][index as usize % 3],
        top_k: [0, 40][index as usize % 2],
        top_p: [1.0, 0.9, 0.5, 1.0][index as usize % 4],
        uniform: (index as f32 * 0.37) % 1.0,
        repetition: 1.1,
        presence: 0.3,
        frequency: 0.2,
        entries: adjustments.len() as u32,
        top_logprobs: [20, 0, 5][index as usize % 3],
        ..Choice::default()
    };
    Row {
        logits,
        choice,
        adjustments,
        x: (0..WIDTH).map(|_| random.normal()).collect(),
    }
}

/// Chooses a token for each of `rows`, in one batch whose rows are stored in reverse.
fn choose(gpu: &Gpu, rows: &[Row]) -> Vec<Chosen> {
    let count = rows.len() as u32;
    let vocab = rows[0].logits.len() as u32;
    let mut choices = Vec::new();
    let mut adjustments = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        choices.push(Choice {
            first_entry: adjustments.len() as u32,
            chosen: count - 1 - i as u32,
            ..row.choice
        });
        adjustments.extend_from_slice(&row.adjustments);
    }
    let logits: Vec<f32> = rows.iter().flat_map(|row| row.logits.clone()).collect();
    let x: Vec<f32> = rows.iter().rev().flat_map(|row| row.x.clone()).collect();
    let outputs: Vec<u32> = (0..count).rev().collect();
    let weight: Vec<f32> = (0..WIDTH).map(|i| 0.5 + i as f32 / 1000.0).collect();

    let mut table = Buffers::default();
    let mut declare = |name: &str, words: u32| table.declare(name, 4 * u64::from(words));
    let step = declare("step", 4);
    let of_choices = declare("choices", 12 * count);
    let of_adjustments = declare("adjustments", 4 * adjustments.len() as u32);
    let of_logits = declare("logits", vocab * count);
    let weights = declare("weights", vocab.next_multiple_of(4) * count);
    let chosen = declare("chosen", count);
    let log_probs = declare("log_probs", 2 * (1 + MOST) * count);
    let of_x = declare("x", WIDTH * count);
    let of_weight = declare("weight", WIDTH);
    let of_outputs = declare("outputs", count);
    let normed = declare("normed", WIDTH * count);

    let mut plan = Plan::default();
    Adjust {
        choices: of_choices,
        adjustments: of_adjustments,
        logits: of_logits,
        vocab,
        rows: count,
    }
    .record(&mut plan);
    Argmax {
        choices: of_choices,
        logits: of_logits,
        chosen,
        vocab,
        rows: count,
    }
    .record(&mut plan);
    Sample {
        choices: of_choices,
        logits: of_logits,
        weights,
        chosen,
        vocab,
        rows: count,
    }
    .record(&mut plan);
    LogProbs {
        choices: of_choices,
        logits: of_logits,
        chosen,
        out: log_probs,
        vocab,
        rows: count,
    }
    .record(&mut plan);
    RmsNorm {
        norm: &Norm {
            weight: of_weight,
            width: WIDTH,
            eps: 1e-5,
        },
        x: of_x,
        out: normed,
        rows: Rows::Listed {
            outputs: of_outputs,
            count,
        },
    }
    .record(&mut plan, gpu.caps());

    let found = block_on(async {
        let mut memory = GpuMemory::new(gpu);
        memory.allocate(&table).await?;
        let contents: [(_, &[u8]); 6] = [
            (of_choices, bytemuck::cast_slice(&choices)),
            (of_adjustments, bytemuck::cast_slice(&adjustments)),
            (of_logits, bytemuck::cast_slice(&logits)),
            (of_x, bytemuck::cast_slice(&x)),
            (of_weight, bytemuck::cast_slice(&weight)),
            (of_outputs, bytemuck::cast_slice(&outputs)),
        ];
        for (buffer, bytes) in contents {
            memory.write(buffer, 0, bytes).await?;
        }
        let now = Step {
            outputs: count,
            ..Step::new(0, count)
        };
        Prepared::new(gpu, &memory, &plan, step)
            .await?
            .submit(&memory, now)
            .await?;
        let mut found = Vec::new();
        for buffer in [chosen, of_logits, log_probs, normed] {
            found.push(memory.read(buffer).await?);
        }
        Ok::<_, godwit::GpuError>(found)
    });
    let found = found.expect("the device works");
    let words = |at: usize| -> Vec<u32> { bytemuck::pod_collect_to_vec(&found[at]) };
    let [tokens, logits, log_probs, normed] = [words(0), words(1), words(2), words(3)];
    let log_probs: &[LogProb] = bytemuck::cast_slice(&log_probs);
    (0..rows.len())
        .map(|i| {
            let row = |words: &[u32], width: usize| words[i * width..][..width].to_vec();
            let entries = &log_probs[i * (1 + MOST as usize)..][..1 + MOST as usize];
            Chosen {
                token: tokens[rows.len() - 1 - i],
                logits: row(&logits, vocab as usize),
                log_probs: entries
                    .iter()
                    .map(|entry| (entry.token, entry.value.to_bits()))
                    .collect(),
                normed: row(&normed, WIDTH as usize),
            }
        })
        .collect()
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let gpu = gpu(false);
    for vocab in [2048, 1027, 1030] {
        let rows: Vec<Row> = (0..9).map(|index| row(vocab, index)).collect();
        let together = choose(&gpu, &rows);
        for (i, (row, expected)) in rows.iter().zip(&together).enumerate() {
            let alone = choose(&gpu, std::slice::from_ref(row));
            assert_eq!(alone[0], *expected, "row {i} of {vocab} logits, alone");
        }
        let mut shuffled = rows.clone();
        shuffled.rotate_left(4);
        // One of the neighbours permits no choice.
        shuffled[2].logits.fill(f32::NAN);
        let mut expected = together.clone();
        expected.rotate_left(4);
        for (i, found) in choose(&gpu, &shuffled).into_iter().enumerate() {
            if i == 2 {
                assert_eq!(found.token, NO_TOKEN);
            } else {
                assert_eq!(found, expected[i], "row {i} of {vocab} logits, rotated");
            }
        }
        // A row's own values are those that it should have.
        for (row, found) in rows.iter().zip(&together) {
            assert!(found.token < vocab);
            let entries = &found.log_probs;
            if row.choice.top_logprobs > 0 {
                assert_eq!(entries[0].0, found.token);
                if row.choice.temperature == 0.0 {
                    assert_eq!(entries[0], entries[1], "the most likely token is chosen");
                }
            }
        }
    }
}
