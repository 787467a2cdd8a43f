//! The choice of a token as kernels read it.

use std::collections::HashMap;

use godwit_shaders::kernels::adjust::{Adjustment, FORBID};
use godwit_shaders::kernels::sample::Choice;

use super::Sampling;

impl Sampling {
    /// How the token at `position` is chosen, after `tokens`, and which logits are adjusted for it.
    /// Only as many of the last tokens matter as [`Sampling::penalized`] says.
    pub(crate) fn choice(&self, tokens: &[u32], position: u64) -> (Choice, Vec<Adjustment>) {
        let mut adjustments: HashMap<u32, Adjustment> = HashMap::new();
        let entry = |token| Adjustment {
            token,
            seen: 0,
            bias: 0.0,
            reserved: 0,
        };
        for &token in &tokens[tokens.len().saturating_sub(self.penalized())..] {
            let adjustment = adjustments.entry(token).or_insert_with(|| entry(token));
            adjustment.seen += 1;
        }
        for &(token, bias) in &self.logit_bias {
            let adjustment = adjustments.entry(token).or_insert_with(|| entry(token));
            adjustment.bias = (adjustment.bias + bias).max(FORBID);
        }
        let choice = Choice {
            // 0 has the kernel `argmax` choose: top-k of 1 means the same.
            temperature: if self.is_greedy() {
                0.0
            } else {
                self.temperature
            },
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            uniform: uniform(self.seed, position),
            repetition: self.repetition_penalty,
            presence: self.presence_penalty,
            frequency: self.frequency_penalty,
            entries: adjustments.len() as u32,
            first_entry: 0,
            chosen: 0,
            top_logprobs: 0,
        };
        (choice, adjustments.into_values().collect())
    }

    /// How many of the last tokens penalties look at.
    pub(crate) fn penalized(&self) -> usize {
        match self.has_penalties() {
            true => self.penalty_window as usize,
            false => 0,
        }
    }
}

/// Random in `[0, 1)`, the same for the same seed and place in the text (SplitMix64, Steele et al.
/// 2014).
fn uniform(seed: u64, place: u64) -> f32 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}
