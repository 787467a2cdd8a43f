//! Tokens that are computed before the host knows them: the GPU takes them from the step in flight
//! that chooses them.

use godwit_shaders::PAGE;
use godwit_shaders::kernels::embed::CHOSEN;

use super::core::Core;
use super::plan::{Chunk, StepPlan};
use super::request::{Ongoing, RequestId, State};
use super::sequence::{Place, SequenceId};

/// The most steps in flight. One step ahead hides the time until the host has its tokens.
pub(super) const MOST_STEPS_IN_FLIGHT: usize = 2;

/// Entries of a step in the buffer of chosen tokens, for each row of a decode pass: one for the
/// row, and one because as many prompts may be completed in the same step.
const CHOSEN_PER_STEP: usize = 2;

/// Entries of the buffer of chosen tokens for each row of a decode pass. Steps take turns: a step
/// reads what the one before it chose, and chooses elsewhere.
pub(super) const CHOSEN_PER_ROW: u32 = (MOST_STEPS_IN_FLIGHT * CHOSEN_PER_STEP) as u32;

impl Core {
    /// Whether a request takes part in steps, and none of its tokens is in flight.
    pub fn is_settled(&self, id: RequestId) -> bool {
        let ongoing = self.requests.get(&id);
        ongoing.is_some_and(|one| one.state == State::Running { in_flight: 0 })
    }

    /// Whether [`Core::plan`] may find something to compute.
    pub fn may_plan(&self) -> bool {
        let waits = |one: &Ongoing| one.state == State::Waiting;
        let mut decodes = self.ready(true);
        self.hold_for_guesses(&mut decodes);
        self.requests.values().any(waits)
            || !decodes.is_empty()
            || !self.ready(false).is_empty()
            || !self.ready_ahead().is_empty()
    }

    /// Gives each chunk the entries of the tokens that it chooses.
    pub fn assign_chosen(&mut self, plan: &mut StepPlan) {
        let all = plan.decode.iter_mut().chain(&mut plan.prompt);
        let mut choosing = all.filter(|chunk| chunk.outputs > 0).peekable();
        if choosing.peek().is_none() {
            return;
        }
        let mut next = self.next_chosen();
        for chunk in choosing {
            chunk.chosen = next;
            next += chunk.outputs as u32;
            if let Some(ongoing) = self.requests.get_mut(&chunk.request) {
                ongoing.chosen = next - 1;
            }
        }
    }

    /// Requests whose next token can be computed although it is still being chosen: it is not the
    /// last one of the reply, and the choice of the one after it does not depend on which it is.
    pub fn ready_ahead(&self) -> Vec<RequestId> {
        let is_ready = |one: &Ongoing| {
            let State::Running { in_flight } = one.state else {
                return false;
            };
            let sequence = self.sequences.get(&one.sequence);
            (1..self.limits.steps_in_flight).contains(&in_flight)
                && one.drafter.is_none()
                && !one.sampling.has_penalties()
                && in_flight < one.reply.tokens_left()
                && sequence.is_some_and(|it| it.len() + in_flight < self.limits.context)
        };
        let all = self.requests.iter();
        all.filter(|(_, one)| is_ready(one))
            .map(|(&id, _)| id)
            .collect()
    }

    /// Plans the next token of a reply while it is being chosen. None: it needs a page, and none is
    /// free.
    pub fn plan_ahead(&mut self, id: RequestId) -> Option<Chunk> {
        let ongoing = self.requests.get_mut(&id)?;
        let State::Running { in_flight } = &mut ongoing.state else {
            return None;
        };
        let sequence = self.sequences.get_mut(&ongoing.sequence)?;
        let position = sequence.computed();
        if position.is_multiple_of(PAGE as usize) {
            sequence.table.push(Place::Gpu(self.pages.take()?));
        }
        sequence.ahead += 1;
        sequence.last_used = self.clock;
        *in_flight += 1;
        Some(Chunk {
            request: id,
            position: position as u32,
            tokens: vec![CHOSEN | ongoing.chosen],
            table: sequence.gpu_pages().collect(),
            outputs: 1,
            chosen: 0,
        })
    }

    /// The entry of the buffer of chosen tokens with which the next step that chooses any begins.
    fn next_chosen(&mut self) -> u32 {
        self.chosen_turn = (self.chosen_turn + 1) % MOST_STEPS_IN_FLIGHT;
        (self.chosen_turn * CHOSEN_PER_STEP * self.limits.decode_rows) as u32
    }

    /// Forgets positions whose tokens are not known yet. Their pages may be used again at once: the
    /// GPU runs submissions in order.
    pub fn drop_ahead(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        sequence.ahead = 0;
        let pages = sequence.tokens.len().div_ceil(PAGE as usize);
        for place in sequence.table.split_off(pages.min(sequence.table.len())) {
            self.release(place);
        }
    }
}
