use super::{LogProb, MOST, Params};
use crate::kernel::DispatchFixture;
use crate::kernels::adjust::FORBID;
use crate::kernels::sample::{Choice, NO_TOKEN, has_no_choice};

/// Sorts the tokens; the sum of the softmax in f64.
pub fn log_probs(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let vocab = p.vocab as usize;
    let words_of_row = (1 + MOST as usize) * size_of::<LogProb>() / 4;
    for (row, choice) in Choice::of_rows(fixture).into_iter().enumerate() {
        let count = choice.top_logprobs.min(MOST) as usize;
        if count == 0 {
            continue;
        }
        let logits = &fixture.floats(1)[row * vocab..][..vocab];
        let mut entries = vec![
            LogProb {
                token: NO_TOKEN,
                value: 0.0
            };
            1 + count
        ];
        if !has_no_choice(logits) {
            let chosen = &fixture.buffers[2][..p.chosen_len as usize];
            let chosen = chosen.get(choice.chosen as usize).copied();
            let logits: Vec<f64> = logits.iter().map(|&l| l.max(-3e38).into()).collect();
            let largest = logits.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
            let entry = |token: u32| LogProb {
                token,
                value: ((logits[token as usize] - largest - sum.ln()) as f32).max(FORBID),
            };
            if let Some(token) = chosen.filter(|&token| token < p.vocab) {
                entries[0] = entry(token);
            }
            let mut sorted: Vec<u32> = (0..p.vocab).collect();
            sorted.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
            for (slot, token) in entries[1..].iter_mut().zip(sorted) {
                *slot = entry(token);
            }
        }
        let words: &[u32] = bytemuck::cast_slice(&entries);
        fixture.buffers[3][row * words_of_row..][..words.len()].copy_from_slice(words);
    }
}

/// For each token a number between 0 and 1 that depends on all bits of its id, so that a wrong one
/// is a large error; and the value's inverse hyperbolic sine, so that -1e30 hides no error.
pub fn unpack(_: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let entries: &[LogProb] = bytemuck::cast_slice(words);
    entries
        .iter()
        .flat_map(|entry| {
            let hash = (entry.token ^ (entry.token >> 16)).wrapping_mul(0x9e37_79b1);
            [
                f64::from(hash) / 4_294_967_296.0,
                f64::from(entry.value).asinh(),
            ]
        })
        .collect()
}
