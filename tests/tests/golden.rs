//! Godwit against the independent reference (`tests/golden/reference.py`): logits, greedy ids,
//! perplexity.

use std::collections::BTreeMap;

use godwit::{EngineOptions, Sampling, Session};
use godwit_tests::model::{engine, fixture, smollm2};
use pollster::block_on;
use serde::Deserialize;

#[derive(Deserialize)]
struct Ids {
    texts: BTreeMap<String, Vec<u32>>,
    prompts: BTreeMap<String, Vec<u32>>,
    perplexity: Vec<u32>,
}

#[derive(Deserialize)]
struct Greedy {
    ids: Vec<u32>,
    gaps: Vec<f32>,
}

#[derive(Deserialize)]
struct Perplexity {
    slice: Scored,
}

#[derive(Deserialize)]
struct Scored {
    tokens: usize,
    scored: usize,
    perplexity: f64,
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let text =
        std::fs::read_to_string(fixture(&format!("tests/golden/{name}"))).expect("a readable file");
    serde_json::from_str(&text).expect("valid JSON")
}

fn session() -> Session {
    block_on(engine(&smollm2(), &EngineOptions::default(), false).session()).expect("a session")
}

/// `ln softmax(logits)`, in f64.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let peak = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - peak).exp()).sum();
    logits
        .iter()
        .map(|&l| f64::from(l - peak) - sum.ln())
        .collect()
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

#[test]
fn logits_agree() {
    let ids: Ids = read("ids.json");
    let mut session = session();
    let (mut positions, mut agreeing, mut divergence, mut largest) = (0_u32, 0_u32, 0.0, 0.0_f32);
    for (name, tokens) in &ids.texts {
        let bytes =
            std::fs::read(fixture(&format!("target/golden/{name}.f32"))).expect("readable logits");
        let golden: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let vocab = golden.len() / tokens.len();
        session.truncate(0);
        let mut each = |position: usize, logits: &[f32]| {
            let golden = &golden[position * vocab..][..vocab];
            let (p, q) = (log_softmax(golden), log_softmax(logits));
            positions += 1;
            agreeing += u32::from(best(golden) == best(logits));
            divergence += p
                .iter()
                .zip(&q)
                .map(|(p, q)| p.exp() * (p - q))
                .sum::<f64>();
            largest = golden
                .iter()
                .zip(logits)
                .map(|(a, b)| (a - b).abs())
                .fold(largest, f32::max);
        };
        block_on(session.score(tokens, &mut each)).expect("the text is scored");
    }
    let top1 = f64::from(agreeing) / f64::from(positions);
    let mean = divergence / f64::from(positions);
    eprintln!(
        "{positions} positions: top-1 {:.3} %, mean KL {mean:.2e}, largest difference {largest:.4}",
        100.0 * top1
    );
    assert!(positions >= 1000);
    assert!(top1 >= 0.995, "top-1 agreement {top1}");
    assert!(mean < 1e-4, "mean KL divergence {mean}");
}

#[test]
fn greedy_ids_agree() {
    let ids: Ids = read("ids.json");
    let golden: BTreeMap<String, Greedy> = read("greedy.json");
    assert!(golden.len() >= 10);
    let mut session = session();
    for (name, greedy) in &golden {
        session.truncate(0);
        block_on(session.prefill(&ids.prompts[name], &mut godwit::unwatched))
            .expect("the prompt fits");
        for (i, (&expected, gap)) in greedy.ids.iter().zip(&greedy.gaps).enumerate() {
            let found = block_on(session.next(&Sampling::greedy())).expect("a token");
            if found != expected {
                eprintln!(
                    "{name}: token {i} is {found}, not {expected}, where the two best are {gap} \
                     apart"
                );
                assert!(
                    *gap <= 0.05,
                    "{name}: token {i} is {found}, not {expected}, though {gap} lies between them"
                );
                break;
            }
        }
    }
}

/// The definition is in tests/golden/README.md. `godwit perplexity` does the whole text.
#[test]
fn perplexity_agrees() {
    let ids: Ids = read("ids.json");
    let Perplexity { slice } = read("perplexity.json");
    let mut session = session();
    let (mut sum, mut scored) = (0.0, 0);
    for chunk in ids.perplexity[..slice.tokens].chunks_exact(512) {
        session.truncate(0);
        let mut each = |position: usize, logits: &[f32]| {
            if (256..511).contains(&position) {
                sum -= log_softmax(logits)[chunk[position + 1] as usize];
                scored += 1;
            }
        };
        block_on(session.score(chunk, &mut each)).expect("the chunk is scored");
    }
    let perplexity = (sum / f64::from(scored)).exp();
    eprintln!(
        "perplexity {perplexity:.5}, the reference's {:.5}",
        slice.perplexity
    );
    assert_eq!(scored as usize, slice.scored);
    assert!(
        (perplexity / slice.perplexity - 1.0).abs() < 0.002,
        "{perplexity}, not {}",
        slice.perplexity
    );
}
