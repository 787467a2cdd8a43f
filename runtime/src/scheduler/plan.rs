//! What a step computes: one token of every reply, then parts of prompts.

use godwit_shaders::PAGE;
use godwit_shaders::kernels::sample::NO_TOKEN;

use super::core::{Core, MemoryOp};
use super::draft::Drafter;
use super::request::{Event, LogProbs, Ongoing, RequestId, State};
use super::sequence::{Place, Sequence, SequenceId};
use crate::error::Error;
use crate::generation::FinishReason;
use crate::kv_cache::pages::PageId;
use crate::sampling::Sampling;
use crate::speculation::MOST_DRAFTED;

/// Consecutive tokens of a request's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub request: RequestId,
    /// Position of the first token.
    pub position: u32,
    /// Ids, or [`CHOSEN`](godwit_shaders::kernels::embed::CHOSEN) and the entry that an earlier
    /// step chooses.
    pub tokens: Vec<u32>,
    /// The sequence's pages, up to that of the last token.
    pub table: Vec<PageId>,
    /// The tokens that follow so many of its last tokens are to be chosen. Those before the last
    /// one are followed by guesses.
    pub outputs: usize,
    /// The entry, in the buffer of chosen tokens, of the first of them. The others follow.
    pub chosen: u32,
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
    /// Whether nothing is computed.
    pub fn is_empty(&self) -> bool {
        self.decode.is_empty() && self.prompt.is_empty()
    }

    #[cfg(test)]
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.decode.iter().chain(&self.prompt)
    }
}

impl Core {
    /// Plans a step with at most `prompt_tokens` tokens of prompts. What it plans counts as done,
    /// but for the tokens that it chooses: [`Core::accept`] takes them. One earlier step may be in
    /// flight.
    pub fn plan(&mut self, prompt_tokens: usize) -> StepPlan {
        self.clock += 1;
        self.admit();
        let mut planned = Vec::new();
        let mut plan = StepPlan::default();
        let (mut decodes, ahead) = (self.ready(true), self.ready_ahead());
        self.hold_for_guesses(&mut decodes);
        let rows = decodes.len() + ahead.len();
        let mut guesses = self.limits.decode_rows.saturating_sub(rows);
        let mut is_blocked = false;
        for id in decodes {
            if let Some(mut chunk) = self.plan_chunk(id, 1, &planned) {
                guesses -= self.add_guesses(&mut chunk, guesses);
                planned.push(id);
                plan.decode.push(chunk);
            }
            is_blocked |= self.is_settled(id);
        }
        for (id, tokens) in self.divide(prompt_tokens.min(self.limits.prompt_tokens)) {
            if let Some(chunk) = self.plan_chunk(id, tokens, &planned) {
                planned.push(id);
                plan.prompt.push(chunk);
            } else {
                is_blocked |= self.is_settled(id);
            }
        }
        // Not before: the memory of what has ended may be moved before a step's passes.
        for id in planned {
            let is_done = |one: &Ongoing| {
                let sequence = self.sequences.get(&one.sequence);
                one.reply.finish_reason().is_some()
                    && sequence.is_some_and(|it| it.pending.is_empty())
            };
            if self.requests.get(&id).is_some_and(is_done) {
                self.end(id, FinishReason::Length);
            }
        }
        // Tokens that are in flight again and again would keep their pages from those that wait.
        if !is_blocked {
            let chunks = ahead.into_iter().filter_map(|id| self.plan_ahead(id));
            plan.decode.extend(chunks);
        }
        self.assign_chosen(&mut plan);
        plan.memory = std::mem::take(&mut self.memory_ops);
        plan
    }

    /// Running requests that have something to compute, the oldest first: the last token of a
    /// reply, or tokens of a prompt.
    pub fn ready(&self, decodes: bool) -> Vec<RequestId> {
        let is_ready = |one: &Ongoing| {
            one.state == State::Running { in_flight: 0 }
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

    /// Tokens of the longest sequence that a prompt is computed for.
    pub fn longest_prompt(&self) -> usize {
        let ready = self.ready(false);
        let of = ready
            .iter()
            .filter_map(|id| self.sequences.get(&self.requests[id].sequence));
        of.map(Sequence::len).max().unwrap_or(0)
    }

    /// How many tokens of which prompt a pass computes: of the oldest one at least half of the
    /// pass, else of those that are completed soonest.
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
        // It may have been interrupted for another one.
        let ongoing = self.requests.get(&id)?;
        let is_running = ongoing.state == State::Running { in_flight: 0 };
        let of = is_running.then_some(ongoing.sequence)?;
        let position = self.sequences.get(&of)?.tokens.len();
        let tokens = tokens.min(self.limits.chunk_at(position));
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
        // It may have been interrupted for its own sake, or be alone in a full pool, or wait for a
        // token of another request, which can be interrupted then.
        let is_interrupted = self.requests.get(&id)?.state == State::Waiting;
        if is_interrupted || count == 0 {
            taken.into_iter().for_each(|page| self.pages.release(page));
            let is_alone = self.running().all(|other| other == id);
            if !is_interrupted && is_alone {
                let refused = self.refused.clone().map(FinishReason::Memory);
                self.end(id, refused.unwrap_or(FinishReason::Context));
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
        self.remember_pages(of);
        let (sequence, ongoing) = (self.sequences.get(&of)?, self.requests.get_mut(&id)?);
        let table = sequence.gpu_pages().collect();
        let mut outputs = usize::from(sequence.pending.is_empty());
        if outputs > 0 && ongoing.reply.finish_reason().is_some() {
            // No token of a reply is wanted.
            outputs = 0;
        } else if outputs > 0 {
            ongoing.state = State::Running { in_flight: 1 };
        }
        Some(Chunk {
            request: id,
            position: position as u32,
            tokens,
            table,
            outputs,
            chosen: 0,
        })
    }

    /// Adds at most `most` guesses to the last token of a reply, as many as the page has room for.
    /// Returns how many.
    fn add_guesses(&mut self, chunk: &mut Chunk, most: usize) -> usize {
        let Some(ongoing) = self.requests.get(&chunk.request) else {
            return 0;
        };
        let Some(sequence) = self.sequences.get(&ongoing.sequence) else {
            return 0;
        };
        let room = self.guess_room(&ongoing.sampling, sequence.tokens.len());
        let drafter = self.requests.get_mut(&chunk.request);
        let Some(drafter) = drafter.and_then(|ongoing| ongoing.drafter.as_mut()) else {
            return 0;
        };
        let [before @ .., next] = &sequence.tokens[..] else {
            return 0;
        };
        let drafted = drafter.draft(before, *next, most.min(room));
        chunk.tokens.extend(drafted);
        chunk.outputs += drafted.len();
        drafted.len()
    }

    /// How many guesses there is room for after `len` tokens: in their last page, in the context,
    /// and among the logits that a pass adjusts.
    pub fn guess_room(&self, sampling: &Sampling, len: usize) -> usize {
        let page_end = len.next_multiple_of(PAGE as usize);
        let room = page_end.min(self.limits.context).saturating_sub(len);
        // There is room for one adjustment of each logit.
        let vocab = self.model.config().vocab as usize;
        let adjusted = match sampling.penalized() + sampling.logit_bias.len() {
            0 => 0,
            some => (some + MOST_DRAFTED).min(vocab),
        };
        let rows = vocab / adjusted.max(1);
        room.min(rows - 1)
    }

    /// Notes the full pages of a sequence, so that others find them.
    pub(super) fn remember_pages(&mut self, of: SequenceId) {
        let page_len = PAGE as usize;
        let Some(sequence) = self.sequences.get_mut(&of) else {
            return;
        };
        while sequence.prefixes.len() <= sequence.tokens.len() / page_len {
            let first = (sequence.prefixes.len() - 1) * page_len;
            let Some(prefix) = sequence.prefix_after(&sequence.tokens[first..first + page_len])
            else {
                return;
            };
            sequence.prefixes.push(prefix);
            let is_reproducible = first + page_len <= sequence.decoded_from;
            if let Place::Gpu(page) = sequence.table[first / page_len]
                && (is_reproducible || !self.limits.deterministic)
            {
                self.pages.remember(page, prefix);
            }
        }
    }

    /// Takes the tokens that were chosen for a request: the next one, and what follows each guess.
    /// A guess that is the token which was chosen there counts as computed, and so does a token
    /// that a step in flight computes already. Nothing happens where the request has ended.
    pub fn accept(&mut self, id: RequestId, chosen: Vec<(u32, Option<LogProbs>)>) {
        let Some(ongoing) = self.requests.get_mut(&id) else {
            return;
        };
        if let State::Running { in_flight } = &mut ongoing.state {
            *in_flight = in_flight.saturating_sub(1);
        }
        let of = ongoing.sequence;
        let drafted = ongoing
            .drafter
            .as_mut()
            .map(Drafter::take)
            .unwrap_or_default();
        // The reply's end says what became of its last guesses, too.
        ongoing.usage.speculated.drafted += drafted.len();
        let mut right = 0;
        for (token, log_probs) in chosen {
            let is_right = drafted.get(right) == Some(&token);
            if !self.accept_token(id, token, log_probs) || !is_right {
                break;
            }
            // The guess's key and value are where they belong.
            let Some(sequence) = self.sequences.get_mut(&of) else {
                break;
            };
            sequence.tokens.append(&mut sequence.pending);
            right += 1;
            if let Some(ongoing) = self.requests.get_mut(&id) {
                ongoing.usage.speculated.accepted += 1;
            }
        }
        if let Some(sequence) = self.sequences.get_mut(&of)
            && sequence.ahead > 0
        {
            sequence.decoded_from = sequence.decoded_from.min(sequence.tokens.len());
            sequence.tokens.append(&mut sequence.pending);
            sequence.ahead -= 1;
        }
        self.remember_pages(of);
        let ongoing = self.requests.get_mut(&id);
        if let Some(drafter) = ongoing.and_then(|ongoing| ongoing.drafter.as_mut()) {
            drafter.record(drafted.len(), right);
        }
    }

    /// Takes one token. Returns whether the reply goes on.
    fn accept_token(&mut self, id: RequestId, token: u32, log_probs: Option<LogProbs>) -> bool {
        let Some(ongoing) = self.requests.get_mut(&id) else {
            return false;
        };
        let Some(sequence) = self.sequences.get_mut(&ongoing.sequence) else {
            return false;
        };
        if token == NO_TOKEN {
            let position = sequence.tokens.len().saturating_sub(1);
            self.fail(id, Error::LogitsNotFinite { position });
            return false;
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
            return false;
        }
        if sequence.len() >= self.limits.context {
            self.end(id, FinishReason::Context);
            return false;
        }
        true
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

    /// Takes a request off its sequence's queue.
    pub fn remove(&mut self, id: RequestId) -> Option<Ongoing> {
        let ongoing = self.requests.remove(&id)?;
        if let Some(sequence) = self.sequences.get_mut(&ongoing.sequence) {
            sequence.queue.retain(|queued| *queued != id);
            sequence.last_used = self.clock;
        }
        if let State::Running { .. } = ongoing.state {
            self.drop_ahead(ongoing.sequence);
        }
        Some(ongoing)
    }
}
