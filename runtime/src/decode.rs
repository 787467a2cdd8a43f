//! The next tokens of a session: chosen on the GPU, and heard of by the CPU afterwards.

use std::collections::HashMap;

use godwit_shaders::adjust::{Adjustment, FORBID};
use godwit_shaders::sample::Choice;
use godwit_shaders::{BufferRef, Step};

use crate::error::Error;
use crate::sampling::Sampling;
use crate::session::{Session, Work};

impl Session {
    /// Chooses the next token, and appends it.
    ///
    /// # Errors
    /// As [`Session::next_many`].
    pub async fn next(&mut self, sampling: &Sampling) -> Result<u32, Error> {
        self.next_many(sampling, 1).await?.first().copied().ok_or(Error::Empty)
    }

    /// Chooses up to `most` tokens and appends them: fewer where the context ends, or where penalties make the choice depend
    /// on the tokens before, at least one. They are those that as many calls of [`Session::next`] give, whatever they mean:
    /// what follows the end of a turn is for the caller to truncate.
    ///
    /// The choices are made on the GPU, and the pass for a chosen token starts there without waiting for the CPU to hear of
    /// it. The CPU waits once for all of them.
    ///
    /// # Errors
    /// There are no tokens yet, no room for another, a parameter is out of range, or the GPU fails.
    pub async fn next_many(&mut self, sampling: &Sampling, most: usize) -> Result<Vec<u32>, Error> {
        sampling.validate(self.engine.model().config().vocab)?;
        self.check_room(1)?;
        self.ensure_logits().await?;
        let room = self.context() as usize - self.tokens.len();
        let count = if sampling.has_penalties() { 1 } else { most.clamp(1, room) };
        // Those that a pass is under way for; they become tokens when all are known.
        let mut gathered = self.memory.readback(4 * count as u64).await?;
        let begin = self.tokens.len() as u32;
        for position in begin..begin + count as u32 {
            let pass = self.reserve(position, 1).await?;
            let adjusted = self.write_choice(sampling, position);
            // What follows overwrites the logits; should the caller give up on this future, they are computed again.
            self.has_logits = false;
            self.submit(Work::Choose { greedy: sampling.is_greedy(), adjusted }, Step::default()).await?;
            self.memory.copy(BufferRef { bytes: 4, ..self.scratch.tokens }, &mut gathered)?;
            if position + 1 == begin + count as u32 {
                // The last choice is heard of while the pass for it runs.
                gathered.map();
            }
            self.submit(Work::Transformer(pass), Step::new(position, 1)).await?;
            self.submit(Work::Logits, Step::new(0, 1)).await?;
        }
        let chosen: Vec<u32> = bytemuck::pod_collect_to_vec(&gathered.finish().await?);
        self.tokens.extend_from_slice(&chosen);
        self.note_recent();
        self.has_logits = true;
        Ok(chosen)
    }

    /// Tells the GPU how to choose the token at `position`. Returns whether any logit is to be adjusted.
    fn write_choice(&self, sampling: &Sampling, position: u32) -> bool {
        let mut adjustments: HashMap<u32, Adjustment> = HashMap::new();
        let entry = |token| Adjustment { token, seen: 0, bias: 0.0, reserved: 0 };
        if sampling.has_penalties() {
            let window = self.tokens.len().saturating_sub(sampling.penalty_window as usize);
            for &token in &self.tokens[window..] {
                adjustments.entry(token).or_insert_with(|| entry(token)).seen += 1;
            }
        }
        for &(token, bias) in &sampling.logit_bias {
            let slot = adjustments.entry(token).or_insert_with(|| entry(token));
            slot.bias = (slot.bias + bias).max(FORBID);
        }
        let choice = Choice {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            uniform: uniform(sampling.seed, position.into()),
            repetition: sampling.repetition_penalty,
            presence: sampling.presence_penalty,
            frequency: sampling.frequency_penalty,
            entries: adjustments.len() as u32,
            reserved: [0; 3],
        };
        let adjustments: Vec<Adjustment> = adjustments.into_values().collect();
        self.memory.write(self.scratch.choice, 0, bytemuck::bytes_of(&choice));
        self.memory.write(self.scratch.adjustments, 0, bytemuck::cast_slice(&adjustments));
        !adjustments.is_empty()
    }
}

/// Random in `[0, 1)`, the same for the same seed and place in the text (SplitMix64, Steele et al. 2014).
fn uniform(seed: u64, place: u64) -> f32 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}
