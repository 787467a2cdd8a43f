//! One token after the other: chosen on the GPU, and run through the transformer before the host has heard of it.

use std::collections::{HashMap, VecDeque};

use godwit_shaders::adjust::{Adjustment, FORBID};
use godwit_shaders::sample::{Choice, NO_TOKEN};
use godwit_shaders::{BufferRef, Step};

use crate::error::Error;
use crate::gpu::Readback;
use crate::sampling::Sampling;
use crate::session::{Session, Work};

/// Seconds of steps that are in flight at most: what is lost where a reply ends. A browser takes as long to hear of a token.
const IN_FLIGHT: f64 = 0.1;

/// Tokens that are ahead of what the host knows.
#[derive(Default)]
pub(crate) struct Ahead {
    chosen: VecDeque<Readback>,
    /// How they were chosen.
    sampling: Option<Sampling>,
    /// Tokens in a row that were asked for with it. No more than that are chosen ahead: who changes how with every token loses
    /// nothing.
    asked: u32,
}

impl Session {
    /// Chooses the next token, and appends it.
    ///
    /// The choice is made on the GPU, and the pass for the chosen token starts there without waiting for the CPU to hear of
    /// it; and so do the next ones, as long as they are chosen the same way. What is ahead when something else is asked for is
    /// forgotten.
    ///
    /// # Errors
    /// There are no tokens yet, no room for another, a parameter is out of range, the logits are not finite, or the GPU
    /// fails.
    pub async fn next(&mut self, sampling: &Sampling) -> Result<u32, Error> {
        sampling.validate(self.engine().model().config().vocab)?;
        self.check_room(1)?;
        if !self.has_logits || self.ahead.sampling.as_ref() != Some(sampling) {
            self.ensure_logits().await?;
            self.ahead.sampling = Some(sampling.clone());
        }
        self.ahead.asked += 1;
        // Should the caller give up on this future, it begins with new logits.
        self.has_logits = false;
        let first = self.tokens().len() as u32;
        let mut most = 1;
        while (self.ahead.chosen.len() as u32) < most.min(self.ahead.asked).min(self.context() - first) {
            most = self.step_ahead(sampling, first + self.ahead.chosen.len() as u32).await?;
        }
        let Some(chosen) = self.ahead.chosen.pop_front() else { return Err(Error::Empty) };
        let token: u32 = bytemuck::pod_read_unaligned(&chosen.finish().await?);
        if token == NO_TOKEN {
            self.forget_ahead();
            return Err(Error::LogitsNotFinite { position: self.tokens.len().saturating_sub(1) });
        }
        self.tokens.push(token);
        self.has_logits = true;
        Ok(token)
    }

    /// Tokens that were chosen, and run through the transformer, before anyone asked for them.
    pub fn tokens_ahead(&self) -> u32 {
        self.ahead.chosen.len() as u32
    }

    /// Has the token of this position chosen and run through the transformer. Returns how many such steps may be in flight.
    async fn step_ahead(&mut self, sampling: &Sampling, position: u32) -> Result<u32, Error> {
        let pass = self.reserve(position, 1).await?;
        let adjusted = self.write_choice(sampling, position).await?;
        let choose = Work::Choose { greedy: sampling.is_greedy(), adjusted };
        self.prepare(choose).await?;
        let chosen = BufferRef { bytes: 4, ..self.scratch.tokens };
        let chosen = self.prepared[&choose].submit_and_read(&self.memory, Step::default(), chosen).await?;
        let (work, step) = (Work::Decode(pass), Step::new(position, 1));
        self.submit(work, step).await?;
        self.note_recent(position as usize + 1);
        self.ahead.chosen.push_back(chosen);
        let most = self.engine().gpu().caps().tuning.steps_in_flight;
        // Penalties count the tokens so far, and what comes from the host is waited for.
        if most <= 1 || sampling.has_penalties() || self.spilled_bytes() > 0 {
            return Ok(1);
        }
        let fit = IN_FLIGHT / self.prepare(work).await?.expected_seconds(step).max(1e-6);
        Ok((fit as u32).clamp(1, most))
    }

    /// Forgets what was chosen ahead, and with it the logits after that.
    pub(crate) fn forget_ahead(&mut self) {
        (self.ahead.sampling, self.ahead.asked) = (None, 0);
        if !self.ahead.chosen.is_empty() {
            self.ahead.chosen.clear();
            self.has_logits = false;
        }
    }

    /// Tells the GPU how to choose the token of this position. Returns whether any logit is to be adjusted.
    async fn write_choice(&self, sampling: &Sampling, position: u32) -> Result<bool, Error> {
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
        self.memory.write(self.scratch.choice, 0, bytemuck::bytes_of(&choice)).await?;
        self.memory.write(self.scratch.adjustments, 0, bytemuck::cast_slice(&adjustments)).await?;
        Ok(!adjustments.is_empty())
    }
}

/// Random in `[0, 1)`, the same for the same seed and place in the text (SplitMix64, Steele et al. 2014).
fn uniform(seed: u64, place: u64) -> f32 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}
