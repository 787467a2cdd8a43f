use super::{Choice, NO_TOKEN, Params, has_no_choice};
use crate::kernel::DispatchFixture;

impl Choice {
    /// The choices of the output rows that a dispatch computes, from their buffer.
    pub(crate) fn of_rows(fixture: &DispatchFixture) -> Vec<Self> {
        let rows = fixture.step.outputs.min(fixture.workgroups[0]) as usize;
        fixture.buffers[0]
            .chunks_exact(size_of::<Self>() / 4)
            .take(rows)
            .map(|words| bytemuck::pod_read_unaligned(bytemuck::cast_slice(words)))
            .collect()
    }
}

/// Sorts the tokens, cuts them off, and walks the rest in the kernel's order, all in f64.
pub fn sample(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let vocab = p.vocab as usize;
    for (row, choice) in Choice::of_rows(fixture).into_iter().enumerate() {
        if choice.temperature == 0.0 {
            continue;
        }
        let logits = &fixture.floats(1)[row * vocab..][..vocab];
        let (weights, token) = if has_no_choice(logits) {
            (vec![0.0; vocab], NO_TOKEN)
        } else {
            draw(logits, choice)
        };
        let slots = &mut fixture.floats_mut(2)[row * vocab.next_multiple_of(4)..];
        for (slot, weight) in slots.iter_mut().zip(&weights) {
            *slot = *weight as f32;
        }
        // The last vector of four is written as a whole.
        slots[vocab..vocab.next_multiple_of(4)].fill(0.0);
        if choice.chosen < p.chosen_len {
            fixture.buffers[3][choice.chosen as usize] = token;
        }
    }
}

/// The unnormalised probabilities of a row's tokens, and the token.
fn draw(logits: &[f32], choice: Choice) -> (Vec<f64>, u32) {
    let logits: Vec<f64> = logits.iter().map(|&l| l.into()).collect();
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|l| ((l - largest) / f64::from(choice.temperature)).exp())
        .collect();
    let mut sorted = weights.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if choice.top_k > 0 {
        sorted.truncate(choice.top_k as usize);
    }
    let wanted = f64::from(choice.top_p) * sorted.iter().sum::<f64>();
    let mut reached = 0.0;
    let kept = sorted.iter().take_while(|&&w| {
        let before = reached;
        reached += w;
        choice.top_p >= 1.0 || before < wanted
    });
    let least = kept
        .last()
        .copied()
        .unwrap_or(1.0)
        .max(f64::from(choice.min_p));
    let vectors = |invocation: usize| (4 * invocation..weights.len()).step_by(1024);
    let ids = |first: usize| first..(first + 4).min(weights.len());
    let order = || {
        (0..256)
            .flat_map(vectors)
            .flat_map(ids)
            .filter(|&i| weights[i] >= least)
    };
    let mut rest = f64::from(choice.uniform) * order().map(|i| weights[i]).sum::<f64>();
    let drawn = order().find(|&i| {
        rest -= weights[i];
        rest < 0.0
    });
    let token = drawn.unwrap_or(0) as u32;
    (weights, token)
}
