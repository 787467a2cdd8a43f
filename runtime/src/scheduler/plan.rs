//! What a step computes: one token of every reply, then parts of prompts.

use godwit_shaders::PAGE;
use godwit_shaders::kernels::sample::NO_TOKEN;

use super::core::{Core, MemoryOp};
use super::request::{Event, LogProbs, Ongoing, RequestId, State};
use super::sequence::Place;
use crate::error::Error;
use crate::generation::FinishReason;
use crate::kv_cache::pages::PageId;

/// Consecutive tokens of a request's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub request: RequestId,
    /// Position of the first token.
    pub position: u32,
    pub tokens: Vec<u32>,
    /// The sequence's pages, up to that of the last token.
    pub table: Vec<PageId>,
    /// Whether the token after the last one is to be chosen.
    pub chooses: bool,
}

/// The work of a step, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StepPlan {
    pub memory: Vec<MemoryOp>,
    /// One token of each running reply.
    pub decode: Vec<Chunk>,
    /// Tokens of prompts.
    pub prompt: Vec<Chunk>,
}

impl StepPlan {
    #[cfg(test)]
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.decode.iter().chain(&self.prompt)
    }
}

impl Core {
    /// Plans a step with at most `prompt_tokens` tokens of prompts. What it plans counts as done,
    /// but for the tokens that it chooses: [`Core::accept`] takes them.
    pub fn plan(&mut self, prompt_tokens: usize) -> StepPlan {
        self.clock += 1;
        self.admit();
        let mut planned = Vec::new();
        let mut plan = StepPlan::default();
        for id in self.ready(true) {
            if let Some(chunk) = self.plan_chunk(id, 1, &planned) {
                planned.push(id);
                plan.decode.push(chunk);
            }
        }
        for (id, tokens) in self.divide(prompt_tokens.min(self.limits.prompt_tokens)) {
            if let Some(chunk) = self.plan_chunk(id, tokens, &planned) {
                planned.push(id);
                plan.prompt.push(chunk);
            }
        }
        plan.memory = std::mem::take(&mut self.memory_ops);
        plan
    }

    /// Running requests that have something to compute, the oldest first: the last token of a
    /// reply, or tokens of a prompt.
    fn ready(&self, decodes: bool) -> Vec<RequestId> {
        let is_ready = |one: &Ongoing| {
            one.state == State::Running
                && self.sequences.get(&one.sequence).is_some_and(|sequence| {
                    let is_decode = sequence.pending.len() == 1 && !one.reply.tokens().is_empty();
                    !sequence.pending.is_empty() && is_decode == decodes
                })
        };
        let all = self.requests.iter();
        all.filter(|(_, one)| is_ready(one))
            .map(|(&id, _)| id)
            .collect()
    }

    /// How many tokens of which prompt a pass computes: of the oldest one at least half of the pass,
    /// else of those that are completed soonest.
    fn divide(&self, tokens: usize) -> Vec<(RequestId, usize)> {
        let remaining = |id: &RequestId| {
            let sequence = self.sequences.get(&self.requests[id].sequence);
            sequence.map_or(0, |sequence| sequence.pending.len())
        };
        let mut ready = self.ready(false);
        let Some(&oldest) = ready.first() else {
            return Vec::new();
        };
        let guaranteed = remaining(&oldest).min(tokens.div_ceil(2));
        let mut left = tokens - guaranteed;
        ready[1..].sort_by_key(|id| (remaining(id), *id));
        let mut parts = vec![(oldest, guaranteed)];
        for &id in &ready[1..] {
            let part = remaining(&id).min(left);
            left -= part;
            parts.push((id, part));
        }
        parts[0].1 += left.min(remaining(&oldest) - guaranteed);
        parts.retain(|&(_, part)| part > 0);
        parts
    }

    /// Moves tokens of a request from what is pending to what is computed. Takes pages for them; as
    /// many as there are pages for, none at all where there is none.
    fn plan_chunk(&mut self, id: RequestId, tokens: usize, planned: &[RequestId]) -> Option<Chunk> {
        let page_len = PAGE as usize;
        let of = self.requests.get(&id)?.sequence;
        let position = self.sequences.get(&of)?.tokens.len();
        let has = self.sequences.get(&of)?.table.len();
        let needed = (position + tokens).div_ceil(page_len).saturating_sub(has);
        let mut taken = Vec::new();
        while let Some(page) = (taken.len() < needed)
            .then(|| self.take_page(id, planned))
            .flatten()
        {
            taken.push(page);
        }
        let count = tokens.min((has + taken.len()) * page_len - position);
        // It may have been interrupted for its own sake, or be alone in a pool that is full.
        let is_interrupted = self.requests.get(&id)?.state != State::Running;
        if is_interrupted || count == 0 {
            taken.into_iter().for_each(|page| self.pages.release(page));
            if !is_interrupted {
                self.end(id, FinishReason::Context);
            }
            return None;
        }
        let sequence = self.sequences.get_mut(&of)?;
        sequence.table.extend(taken.into_iter().map(Place::Gpu));
        sequence.last_used = self.clock;
        let tokens: Vec<u32> = sequence.pending.drain(..count).collect();
        let ongoing = self.requests.get_mut(&id)?;
        if !ongoing.reply.tokens().is_empty() {
            sequence.decoded_from = sequence.decoded_from.min(position);
        }
        sequence.tokens.extend(&tokens);
        while sequence.prefixes.len() <= sequence.tokens.len() / page_len {
            let first = (sequence.prefixes.len() - 1) * page_len;
            let prefix = sequence.prefix_after(&sequence.tokens[first..first + page_len])?;
            sequence.prefixes.push(prefix);
            let is_reproducible = first + page_len <= sequence.decoded_from;
            if let Place::Gpu(page) = sequence.table[first / page_len]
                && (is_reproducible || !self.limits.deterministic)
            {
                self.pages.remember(page, prefix);
            }
        }
        let table = sequence.gpu_pages().collect();
        let mut chooses = sequence.pending.is_empty();
        if chooses && ongoing.reply.finish_reason().is_some() {
            // No token of a reply is wanted.
            chooses = false;
            self.end(id, FinishReason::Length);
        } else if chooses {
            ongoing.state = State::InFlight;
        }
        Some(Chunk {
            request: id,
            position: position as u32,
            tokens,
            table,
            chooses,
        })
    }

    /// Takes the token that was chosen for a request. Nothing happens where it was cancelled.
    pub fn accept(&mut self, id: RequestId, token: u32, log_probs: Option<LogProbs>) {
        let Some(ongoing) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(sequence) = self.sequences.get_mut(&ongoing.sequence) else {
            return;
        };
        ongoing.state = State::Running;
        if token == NO_TOKEN {
            let position = sequence.tokens.len().saturating_sub(1);
            return self.fail(id, Error::LogitsNotFinite { position });
        }
        sequence.pending.push(token);
        ongoing.usage.completion_tokens += 1;
        let piece = ongoing.reply.push(self.model.tokenizer(), token);
        self.events.push_back(Event::Piece {
            request: id,
            piece,
            log_probs,
        });
        if let Some(reason) = ongoing.reply.finish_reason().cloned() {
            self.finish(id, reason);
        } else if sequence.len() >= self.limits.context {
            self.end(id, FinishReason::Context);
        }
    }

    /// Ends a reply where it is, with the text that was held back.
    pub fn end(&mut self, id: RequestId, reason: FinishReason) {
        let Some(ongoing) = self.requests.get_mut(&id) else {
            return;
        };
        if let Some(piece) = ongoing.reply.finish(reason.clone()) {
            self.events.push_back(Event::Piece {
                request: id,
                piece,
                log_probs: None,
            });
        }
        self.finish(id, reason);
    }

    /// Removes a request, and says why it ended.
    pub fn finish(&mut self, id: RequestId, reason: FinishReason) {
        if let Some(ongoing) = self.remove(id) {
            self.events.push_back(Event::Finished {
                request: id,
                reason,
                usage: ongoing.usage,
            });
        }
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Ongoing> {
        let ongoing = self.requests.remove(&id)?;
        if let Some(sequence) = self.sequences.get_mut(&ongoing.sequence) {
            sequence.queue.retain(|queued| *queued != id);
            sequence.last_used = self.clock;
        }
        Some(ongoing)
    }
}
