//! All that a scheduler decides, without a GPU: sequences, requests, pages, and what a step does.
//!
//! [`Core`] changes its books when work is planned, not when it is done: the GPU runs submissions
//! in order, so what is planned later may rely on it.

use std::collections::{BTreeMap, VecDeque};

use godwit_shaders::PAGE;

use super::draft::Drafter;
use super::request::{Event, Ongoing, Request, RequestId, State, Usage};
use super::sequence::{HostPage, Place, Sequence, SequenceId, SequenceOptions};
use crate::error::Error;
use crate::generation::{FinishReason, Reply};
use crate::gpu::GpuError;
use crate::kv_cache::pages::{PageId, Pages};
use crate::model::Model;

/// What a scheduler never exceeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Tokens of a sequence.
    pub context: usize,
    /// Pages of the pool, if there is memory for them.
    pub pages: u32,
    /// Pages on the host.
    pub host_pages: usize,
    /// Requests that take part in steps at once.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Tokens of prompts in one pass.
    pub prompt_tokens: usize,
    /// Positions that the tokens of a prompt in a pass may attend to, all together. None: any
    /// number.
    pub attended: Option<usize>,
    /// Rows of a decode pass, guesses among them; at least `running`.
    pub decode_rows: usize,
    /// Steps in flight: 1, or [`MOST_STEPS_IN_FLIGHT`].
    pub steps_in_flight: usize,
    /// Whether a CPU computes.
    pub is_cpu: bool,
    /// Whether a reply must not depend on its neighbours.
    pub deterministic: bool,
}

impl Limits {
    /// Tokens of a prompt that a pass may have from `position` on: a power of two where they are
    /// limited, which depends on the position alone.
    pub fn chunk_at(&self, position: usize) -> usize {
        let Some(attended) = self.attended else {
            return usize::MAX;
        };
        let sizes = std::iter::successors(Some(self.prompt_tokens), |&size| Some(size / 2));
        sizes
            .take_while(|&size| size > 1)
            .find(|&size| size * (position + size) <= attended)
            .unwrap_or(1)
    }
}

/// Something to do with the memory of pages, before the passes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryOp {
    Copy { from: PageId, to: PageId },
    ToHost { page: PageId, to: HostPage },
    FromHost { from: HostPage, page: PageId },
    Forget { host: HostPage },
}

pub(super) struct Core {
    pub model: Model,
    pub limits: Limits,
    pub pages: Pages,
    pub sequences: BTreeMap<SequenceId, Sequence>,
    pub requests: BTreeMap<RequestId, Ongoing>,
    pub events: VecDeque<Event>,
    /// What a step has to do first, in this order.
    pub memory_ops: Vec<MemoryOp>,
    /// Pages that a snapshot is being read into.
    pub loading: Vec<PageId>,
    /// Pages on the host.
    pub on_host: usize,
    /// Why there is no memory for more pages.
    pub refused: Option<GpuError>,
    /// The last id that was given, of sequences, requests and pages on the host.
    last_id: u64,
    /// Counts steps and changes: see [`Sequence::last_used`].
    pub clock: u64,
    /// What a guess of the draft model takes, as a share of a pass over one token; none without a
    /// draft model.
    pub draft_cost: Option<f64>,
    /// Which part of the buffer of chosen tokens the newest step has that chooses any.
    pub chosen_turn: usize,
}

impl Core {
    pub fn new(model: Model, limits: Limits) -> Self {
        Self {
            model,
            limits,
            pages: Pages::new(),
            sequences: BTreeMap::new(),
            requests: BTreeMap::new(),
            events: VecDeque::new(),
            memory_ops: Vec::new(),
            loading: Vec::new(),
            on_host: 0,
            refused: None,
            last_id: 0,
            clock: 0,
            draft_cost: None,
            chosen_turn: 0,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn open(&mut self, options: &SequenceOptions) -> SequenceId {
        let id = SequenceId(self.next_id());
        self.sequences.insert(id, Sequence::new(options));
        id
    }

    pub fn sequence(&self, id: SequenceId) -> Result<&Sequence, Error> {
        self.sequences.get(&id).ok_or(Error::NoSuchSequence)
    }

    /// A new sequence that begins with the first `len` tokens of another. Whole pages are shared; a
    /// last page that is not full is copied. What is on the host, or finds no free page, is
    /// computed again.
    pub fn fork(&mut self, of: SequenceId, len: usize) -> Result<SequenceId, Error> {
        let parent = self.sequence(of)?;
        if len > parent.len() {
            return Err(Error::ForkBeyond {
                position: len,
                tokens: parent.len(),
            });
        }
        let page = PAGE as usize;
        let on_gpu = parent
            .table
            .iter()
            .take_while(|place| matches!(place, Place::Gpu(_)))
            .count();
        let computed = len.min(parent.tokens.len()).min(on_gpu * page);
        let whole = computed / page;
        let mut child = Sequence {
            tokens: parent.tokens[..computed].to_vec(),
            pending: Vec::new(),
            ahead: 0,
            table: parent.table[..whole].to_vec(),
            prefixes: parent.prefixes[..=whole].to_vec(),
            queue: VecDeque::new(),
            ..*parent
        };
        let all = parent.tokens.iter().chain(&parent.pending).take(len);
        child.pending.extend(all.skip(computed));
        let tail = parent
            .table
            .get(whole)
            .copied()
            .filter(|_| computed % page > 0);
        for shared in child.gpu_pages() {
            self.pages.share(shared);
        }
        if let Some(Place::Gpu(from)) = tail {
            match self.pages.take() {
                Some(to) => {
                    child.table.push(Place::Gpu(to));
                    self.memory_ops.push(MemoryOp::Copy { from, to });
                }
                None => {
                    let rest = child.tokens.split_off(whole * page);
                    child.pending.splice(0..0, rest);
                }
            }
        }
        if child.decoded_from >= computed {
            child.decoded_from = usize::MAX;
        }
        let id = SequenceId(self.next_id());
        self.sequences.insert(id, child);
        Ok(id)
    }

    /// Takes a request for a sequence. It starts when those before it have ended.
    pub fn submit(&mut self, sequence: SequenceId, request: Request) -> Result<RequestId, Error> {
        let vocab = self.model.config().vocab;
        request.sampling.validate(vocab)?;
        if let Some(&id) = request.prompt.iter().find(|&&id| id >= vocab) {
            return Err(Error::NoSuchToken { id, vocab });
        }
        let of = self.sequence(sequence)?;
        let queued = of.queue.iter().filter_map(|id| self.requests.get(id));
        let used = of.len() + queued.map(|ongoing| ongoing.prompt.len()).sum::<usize>();
        if used + request.prompt.len() == 0 {
            return Err(Error::Empty);
        }
        let context = self.limits.context;
        if used + request.prompt.len() > context {
            return Err(Error::ContextFull {
                tokens: request.prompt.len(),
                used,
                context: context as u32,
            });
        }
        let waiting = self
            .requests
            .values()
            .filter(|one| one.state == State::Waiting)
            .count();
        if waiting >= self.limits.waiting {
            return Err(Error::Busy { waiting });
        }
        let id = RequestId(self.next_id());
        let Request {
            prompt,
            sampling,
            max_tokens,
            stop,
            log_probs,
            speculation,
        } = request;
        let usage = Usage {
            prompt_tokens: prompt.len(),
            ..Usage::default()
        };
        let ongoing = Ongoing {
            sequence,
            sampling,
            log_probs: log_probs.map(|top| top.min(20)),
            prompt,
            reply: Reply::new(self.model.tokenizer(), max_tokens, stop),
            usage,
            state: State::Waiting,
            chosen: 0,
            drafter: Drafter::new(speculation, self.limits.is_cpu, self.draft_cost),
        };
        self.requests.insert(id, ongoing);
        if let Some(of) = self.sequences.get_mut(&sequence) {
            of.queue.push_back(id);
        }
        Ok(id)
    }

    /// Appends tokens to a sequence without computing them. Returns the pages that are new.
    pub fn fill(&mut self, id: SequenceId, len: usize) -> Result<Vec<PageId>, Error> {
        let sequence = self.sequences.get_mut(&id).ok_or(Error::NoSuchSequence)?;
        let (mut taken, mut refused) = (Vec::new(), None);
        while sequence.tokens.len() < len {
            if sequence.table.len() * PAGE as usize == sequence.computed() {
                let Some(page) = self.pages.take() else {
                    refused = Some(Error::ContextFull {
                        tokens: len - sequence.tokens.len(),
                        used: sequence.tokens.len(),
                        context: sequence.table.len() as u32 * PAGE,
                    });
                    break;
                };
                sequence.table.push(Place::Gpu(page));
                taken.push(page);
            }
            let end = len.min(sequence.table.len() * PAGE as usize - sequence.ahead);
            sequence.tokens.resize(end, 0);
        }
        while sequence.prefixes.len() <= sequence.tokens.len() / PAGE as usize {
            let prefix = sequence.prefix_after(&[0; PAGE as usize]);
            sequence.prefixes.extend(prefix);
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(taken),
        }
    }

    /// Makes the last token of a sequence one that is to be computed.
    pub fn compute_last_again(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        let Some(last) = sequence.tokens.pop() else {
            return;
        };
        sequence.pending.insert(0, last);
        // Its key and value are written again, which a page that others see does not permit.
        let (page, in_page) = (
            sequence.tokens.len() / PAGE as usize,
            sequence.tokens.len() % PAGE as usize,
        );
        sequence.prefixes.truncate(page + 1);
        let is_private = match sequence.table.last() {
            Some(Place::Gpu(last)) => self.pages.is_private(*last),
            _ => false,
        };
        if in_page > 0 && is_private {
            return;
        }
        if let Some(place) = sequence.table.pop() {
            let rest = sequence.tokens.split_off(page * PAGE as usize);
            sequence.pending.splice(0..0, rest);
            self.release(place);
        }
    }

    /// Ends a request. It has no effect on one that has ended.
    pub fn cancel(&mut self, id: RequestId) {
        let Some(ongoing) = self.requests.get_mut(&id) else {
            return;
        };
        let text = ongoing.reply.cancel();
        if !text.is_empty() {
            self.events.push_back(Event::Piece {
                request: id,
                piece: crate::generation::Piece { token: None, text },
                log_probs: None,
            });
        }
        self.finish(id, FinishReason::Cancelled);
    }

    /// Ends all requests of a sequence.
    pub fn cancel_all(&mut self, id: SequenceId) -> Result<(), Error> {
        for request in Vec::from_iter(self.sequence(id)?.queue.iter().copied()) {
            self.cancel(request);
        }
        Ok(())
    }

    /// Ends a sequence, and all of its requests.
    pub fn close(&mut self, id: SequenceId) -> Result<(), Error> {
        self.cancel_all(id)?;
        if let Some(sequence) = self.sequences.remove(&id) {
            // From the end: a prefix is of use longer than what follows it.
            for &place in sequence.table.iter().rev() {
                self.release(place);
            }
        }
        Ok(())
    }

    /// A page table no longer needs this.
    pub fn release(&mut self, place: Place) {
        match place {
            Place::Gpu(page) => self.pages.release(page),
            Place::Host(host) => {
                self.on_host -= 1;
                self.memory_ops.push(MemoryOp::Forget { host });
            }
        }
    }

    /// What was planned was not done: nothing is known of the pages any more. All sequences are
    /// computed again; requests that took part in steps fail. The device is to forget its pages on
    /// the host.
    pub fn start_over(&mut self, error: &Error) {
        let taking_part: Vec<_> = self.running().collect();
        for id in taking_part {
            self.fail(id, error.clone());
        }
        for page in std::mem::take(&mut self.loading) {
            self.pages.forget(page);
            self.pages.release(page);
        }
        let mut dropped = Vec::new();
        for sequence in self.sequences.values_mut() {
            let computed = std::mem::take(&mut sequence.tokens);
            sequence.pending.splice(0..0, computed);
            sequence.prefixes.truncate(1);
            sequence.decoded_from = usize::MAX;
            dropped.append(&mut sequence.table);
        }
        for place in dropped {
            if let Place::Gpu(page) = place {
                self.pages.forget(page);
            }
            self.release(place);
        }
        self.memory_ops.clear();
        self.pages.forget_all();
    }
}
