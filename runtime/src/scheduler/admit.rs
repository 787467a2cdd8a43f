//! Which requests take part in steps, and what leaves the GPU for them.

use std::cmp::Reverse;

use godwit_shaders::PAGE;

use super::core::{Core, MemoryOp};
use super::request::{Event, RequestId, State};
use super::sequence::{HostPage, Place, Sequence, SequenceId};
use crate::error::Error;
use crate::kv_cache::pages::PageId;

impl Core {
    /// Pages that could be put to use now, those in use among them: as many as all requests need,
    /// the spare page of each included ([`Core::promised_pages`]); no more than the limit.
    pub fn wanted_pages(&self) -> u32 {
        let missing = |id: &SequenceId, more: usize| {
            let sequence = self.sequences.get(id)?;
            let len = sequence.len() + more + 1;
            Some(sequence.missing_pages(len.min(self.limits.context)).max(1))
        };
        let needed = self
            .requests
            .values()
            .filter_map(|one| missing(&one.sequence, one.prompt.len()))
            .sum::<usize>();
        let wanted = u64::from(self.pages.in_use()) + needed as u64;
        u32::try_from(wanted)
            .unwrap_or(u32::MAX)
            .min(self.limits.pages)
    }

    /// Requests that take part in steps.
    pub fn running(&self) -> impl Iterator<Item = RequestId> + '_ {
        let runs = |state| state != State::Waiting;
        let all = self.requests.iter();
        all.filter(move |(_, one)| runs(one.state))
            .map(|(&id, _)| id)
    }

    /// Starts requests as long as there is room for them: by priority, then in order. One that does
    /// not fit is waited for, so that smaller ones don't overtake it for ever.
    pub fn admit(&mut self) {
        let mut waiting: Vec<_> = self
            .sequences
            .values()
            .filter_map(|sequence| Some((Reverse(sequence.priority), *sequence.queue.front()?)))
            .filter(|(_, id)| self.requests[id].state == State::Waiting)
            .collect();
        waiting.sort_unstable();
        for (_, id) in waiting {
            if self.running().count() >= self.limits.running || !self.start(id) {
                break;
            }
        }
    }

    /// Starts a request, if there is room for its sequence's tokens. What is idle leaves the GPU
    /// for it.
    fn start(&mut self, id: RequestId) -> bool {
        self.find_something_to_compute(id);
        loop {
            let Some(ongoing) = self.requests.get(&id) else {
                return true;
            };
            let (of, sequence) = (ongoing.sequence, &self.sequences[&ongoing.sequence]);
            let (used, tokens) = (sequence.len(), ongoing.prompt.len());
            let len = used + tokens;
            if len > self.limits.context {
                // Replies to earlier requests have taken its room.
                let context = self.limits.context as u32;
                self.fail(
                    id,
                    Error::ContextFull {
                        tokens,
                        used,
                        context,
                    },
                );
                return true;
            }
            let found = self.cached_pages(sequence, &ongoing.prompt);
            let needed = sequence
                .missing_pages((len + 1).min(self.limits.context))
                .saturating_sub(found.len());
            // Found pages that are free are no longer free once they are used.
            let in_use = found
                .iter()
                .filter(|&&page| self.pages.is_in_use(page))
                .count();
            let free = self.pages.free() as usize + in_use - found.len();
            if needed + self.promised_pages() <= free {
                self.use_cached(id, of, &found);
                return self.bring_back(id, of);
            }
            if let Some(idle) = self.longest_idle(of) {
                self.leave_gpu(idle);
                continue;
            }
            if self.running().next().is_none() {
                // Nothing will ever make room for it.
                let context = self.pages.len() * PAGE;
                let full = Error::ContextFull {
                    tokens,
                    used,
                    context,
                };
                let refused = self.refused.clone().map(Error::Gpu);
                self.fail(id, refused.unwrap_or(full));
                return true;
            }
            return false;
        }
    }

    /// Pages that running requests will take before they have their next token, and one for each.
    fn promised_pages(&self) -> usize {
        let of = self
            .running()
            .filter_map(|id| self.sequences.get(&self.requests[&id].sequence));
        of.map(|sequence| sequence.missing_pages(sequence.len() + 1).max(1))
            .sum()
    }

    /// The pages that hold what comes next in a sequence, one token excepted: logits come from it.
    fn cached_pages(&self, sequence: &Sequence, prompt: &[u32]) -> Vec<PageId> {
        let page = PAGE as usize;
        if !sequence.tokens.len().is_multiple_of(page) || !sequence.is_on_gpu() {
            return Vec::new();
        }
        let (mut prefix, mut found) = (sequence.prefixes[sequence.prefixes.len() - 1], Vec::new());
        let next: Vec<u32> = [&sequence.pending, prompt].concat();
        for tokens in next[..next.len().saturating_sub(1)].chunks_exact(page) {
            prefix = prefix.after(tokens);
            match self.pages.find(&prefix) {
                Some(page) => found.push(page),
                None => break,
            }
        }
        found
    }

    fn use_cached(&mut self, id: RequestId, of: SequenceId, found: &[PageId]) {
        let (Some(sequence), Some(ongoing)) =
            (self.sequences.get_mut(&of), self.requests.get_mut(&id))
        else {
            return;
        };
        let is_first = !ongoing.prompt.is_empty();
        sequence.pending.append(&mut ongoing.prompt);
        for &page in found {
            self.pages.share(page);
            let tokens: Vec<u32> = sequence.pending.drain(..PAGE as usize).collect();
            let prefix = sequence.prefix_after(&tokens);
            sequence.prefixes.extend(prefix);
            sequence.tokens.extend(tokens);
            sequence.table.push(Place::Gpu(page));
        }
        if is_first {
            let cached = found.len() * PAGE as usize;
            ongoing.usage.cached_tokens = cached.min(ongoing.usage.prompt_tokens);
        }
    }

    /// Takes pages for those of a request on the host, and starts it. There are enough.
    fn bring_back(&mut self, id: RequestId, of: SequenceId) -> bool {
        let is_there = self.bring_back_pages(of);
        if let Some(ongoing) = self.requests.get_mut(&id).filter(|_| is_there) {
            ongoing.state = State::Running { in_flight: 0 };
        }
        is_there
    }

    /// How many of these tokens, which follow those of a sequence, are in pages that it can share.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn findable(&self, id: SequenceId, tokens: &[u32]) -> usize {
        let sequence = self.sequences.get(&id);
        let found = sequence.map_or(0, |sequence| self.cached_pages(sequence, tokens).len());
        found * PAGE as usize
    }

    /// Takes pages for those of a sequence on the host. There are enough.
    pub(super) fn bring_back_pages(&mut self, of: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get_mut(&of) else {
            return true;
        };
        for (number, place) in sequence.table.iter_mut().enumerate() {
            let Place::Host(host) = *place else {
                continue;
            };
            // A full page may still be where it was.
            let is_reproducible = (number + 1) * PAGE as usize <= sequence.decoded_from;
            let prefix = sequence
                .prefixes
                .get(number + 1)
                .filter(|_| is_reproducible || !self.limits.deterministic);
            match prefix.and_then(|prefix| self.pages.find(prefix)) {
                Some(page) => {
                    self.pages.share(page);
                    *place = Place::Gpu(page);
                    self.memory_ops.push(MemoryOp::Forget { host });
                }
                None => {
                    let Some(page) = self.pages.take() else {
                        return false;
                    };
                    *place = Place::Gpu(page);
                    self.memory_ops
                        .push(MemoryOp::FromHost { from: host, page });
                }
            }
            self.on_host -= 1;
        }
        true
    }

    /// The sequence that runs no request, was used longest ago, and has pages on the GPU: such that
    /// only it needs, where there is one. Pages that idle sequences share are free when all of them
    /// have left.
    pub(super) fn longest_idle(&self, besides: SequenceId) -> Option<SequenceId> {
        let is_idle = |id: &SequenceId, sequence: &Sequence| {
            let waits = |id: &RequestId| self.requests[id].state == State::Waiting;
            *id != besides
                && sequence.queue.front().is_none_or(waits)
                && sequence.gpu_pages().next().is_some()
        };
        let order = |sequence: &Sequence| {
            let has_private = sequence.gpu_pages().any(|page| !self.pages.is_shared(page));
            (!has_private, sequence.last_used)
        };
        let all = self.sequences.iter();
        let idle = all.filter(|(id, sequence)| is_idle(id, sequence));
        idle.min_by_key(|(_, sequence)| order(sequence))
            .map(|(&id, _)| id)
    }

    /// Sees to it that a request has a token to compute, for the logits that its reply begins with:
    /// where it appends none, the last one of its sequence. Without any, it fails.
    fn find_something_to_compute(&mut self, id: RequestId) {
        let Some(ongoing) = self.requests.get(&id).filter(|one| one.prompt.is_empty()) else {
            return;
        };
        let (of, sequence) = (ongoing.sequence, &self.sequences[&ongoing.sequence]);
        match (sequence.pending.is_empty(), sequence.tokens.is_empty()) {
            (true, true) => self.fail(id, Error::Empty),
            (true, false) => self.compute_last_again(of),
            (false, _) => {}
        }
    }

    /// Gives a page for a request's next tokens. Where none is free, what is idle leaves the GPU,
    /// then the running request with the lowest priority that is newest. None: that is this one, or
    /// it is alone, or that one's next token is in flight.
    pub fn take_page(&mut self, needy: RequestId, planned: &[RequestId]) -> Option<PageId> {
        let of = self.requests.get(&needy)?.sequence;
        loop {
            if let Some(page) = self.pages.take() {
                return Some(page);
            }
            if let Some(idle) = self.longest_idle(of) {
                self.leave_gpu(idle);
                continue;
            }
            let priority = |id: &RequestId| {
                let sequence = self.sequences.get(&self.requests[id].sequence);
                (
                    sequence.map_or(0, |sequence| sequence.priority),
                    Reverse(*id),
                )
            };
            let can_wait = |id: &RequestId| !planned.contains(id);
            let last = self.running().filter(can_wait).min_by_key(priority)?;
            if self.requests[&last].state != (State::Running { in_flight: 0 }) {
                return None;
            }
            if last == needy && self.running().all(|id| id == needy) {
                return None;
            }
            self.interrupt(last);
            if last == needy {
                return None;
            }
        }
    }

    /// Makes a running request wait. Its sequence leaves the GPU.
    fn interrupt(&mut self, id: RequestId) {
        if let Some(ongoing) = self.requests.get_mut(&id) {
            ongoing.state = State::Waiting;
            let of = ongoing.sequence;
            self.leave_gpu(of);
        }
    }

    /// Moves a sequence's pages to the host: those that only it needs, or, where it has none, all
    /// of them. Where the host has no room, their tokens are to be computed again.
    pub(super) fn leave_gpu(&mut self, id: SequenceId) {
        let Some(mut sequence) = self.sequences.remove(&id) else {
            return;
        };
        let has_private = sequence.gpu_pages().any(|page| !self.pages.is_shared(page));
        let mut left = Vec::new();
        for number in 0..sequence.table.len() {
            let Place::Gpu(page) = sequence.table[number] else {
                continue;
            };
            if has_private && self.pages.is_shared(page) {
                continue;
            }
            if self.on_host >= self.limits.host_pages {
                let rest = sequence.tokens.split_off(number * PAGE as usize);
                sequence.pending.splice(0..0, rest);
                sequence.prefixes.truncate(number + 1);
                let dropped = sequence.table.split_off(number);
                for &place in dropped.iter().rev() {
                    self.release(place);
                }
                break;
            }
            let to = HostPage(self.next_id());
            self.memory_ops.push(MemoryOp::ToHost { page, to });
            self.on_host += 1;
            sequence.table[number] = Place::Host(to);
            left.push(page);
        }
        // From the end: a prefix is of use longer than what follows it.
        for &page in left.iter().rev() {
            self.pages.release(page);
        }
        self.sequences.insert(id, sequence);
    }

    /// Ends a request that can't go on.
    pub fn fail(&mut self, id: RequestId, error: Error) {
        if self.remove(id).is_some() {
            self.events.push_back(Event::Failed { request: id, error });
        }
    }
}
