//! The books of a scheduler against a device that checks them.

use std::collections::HashMap;

use super::super::core::{Core, Limits};
use super::super::request::{Event, Request, RequestId, Usage};
use super::super::sequence::{SequenceId, SequenceOptions};
use super::draft::TestedDraft;
use super::fake::{Fake, after, hash, token_after};
use crate::error::Error;
use crate::generation::FinishReason;
use crate::low_level::Synthetic;
use crate::model::Model;
use crate::sampling::Sampling;
use crate::speculation::Speculation;

pub fn model(vocab: u32) -> Model {
    let shape = format!("tiny:q8_0,vocab={vocab}");
    let shape = shape.parse::<Synthetic>().expect("a shape");
    shape.model().expect("a model")
}

pub const LIMITS: Limits = Limits {
    context: 2048,
    pages: 12,
    host_pages: 5,
    running: 4,
    waiting: 20,
    prompt_tokens: 48,
    attended: None,
    decode_rows: 20,
    steps_in_flight: 1,
    is_cpu: true,
    deterministic: false,
};

/// How a request ended.
pub type End = Result<FinishReason, Error>;

/// A scheduler on the fake device.
pub struct Tested {
    pub core: Core,
    pub device: Fake,
    pub sequences: Vec<SequenceId>,
    /// What became of each request: its tokens, and its end.
    pub replies: HashMap<RequestId, (Vec<u32>, Option<End>)>,
    pub usage: HashMap<RequestId, Usage>,
    pub draft: Option<TestedDraft>,
}

/// Greedy, and free of the model's end tokens as far as the fake device goes.
pub fn request(prompt: Vec<u32>, max_tokens: usize) -> Request {
    Request::new(prompt)
        .sampling(Sampling::greedy())
        .max_tokens(max_tokens)
}

#[test]
fn guesses_that_are_right_count_as_computed() {
    let mut tested = Tested::new(LIMITS);
    let sequence = tested.open();
    let request = request(text(1, 70), 300).speculation(Speculation::Tokens(5));
    let id = tested.submit(sequence, request).expect("room");
    let mut steps = 0;
    while !tested.core.requests.is_empty() {
        tested.step();
        steps += 1;
    }
    assert_eq!(tested.replies[&id].0.len(), 300);
    let speculated = tested.usage[&id].speculated;
    // The prompt takes two steps.
    assert_eq!(steps, 2 + 299 - speculated.accepted);
    assert!(
        steps < 200 && speculated.accepted < speculated.drafted,
        "{steps} steps, {speculated:?}"
    );
}

/// The beginning of one of a few texts.
pub fn text(number: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|i| (i * i + 17 * number + 3) % 500)
        .collect()
}

impl Tested {
    pub fn new(limits: Limits) -> Self {
        Self {
            core: Core::new(model(512), limits),
            device: Fake::default(),
            sequences: Vec::new(),
            replies: HashMap::new(),
            usage: HashMap::new(),
            draft: None,
        }
    }

    pub fn open(&mut self) -> SequenceId {
        let id = self.core.open(&SequenceOptions::default());
        self.sequences.push(id);
        id
    }

    pub fn submit(&mut self, sequence: SequenceId, request: Request) -> Result<RequestId, Error> {
        let id = self.core.submit(sequence, request)?;
        self.replies.insert(id, (Vec::new(), None));
        Ok(id)
    }

    /// Submits a step. Takes tokens where no further step may be in flight, or where it found
    /// nothing to compute. Returns whether it did anything.
    pub fn step(&mut self) -> bool {
        let has_submitted = self.submit_step();
        let in_flight = self.device.in_flight.len();
        if !has_submitted || in_flight >= self.core.limits.steps_in_flight {
            self.arrive();
        }
        // A draft model may have done something.
        in_flight > 0 || self.draft.is_some()
    }

    /// Submits a step, as soon as another one may be in flight. Returns whether it computes
    /// anything.
    pub fn submit_step(&mut self) -> bool {
        while self.device.in_flight.len() >= self.core.limits.steps_in_flight {
            self.arrive();
        }
        self.step_draft();
        let wanted = self.core.wanted_pages();
        self.core.pages.grow_to(wanted);
        let plan = self.core.plan(usize::MAX);
        self.device.submit(&self.core, &plan);
        self.take_events(&mut HashMap::new());
        self.check();
        !plan.is_empty()
    }

    /// Takes the tokens of the oldest step in flight.
    pub fn arrive(&mut self) {
        for (id, chosen) in self.device.in_flight.pop_front().unwrap_or_default() {
            let of = self.core.requests.get(&id).map(|ongoing| ongoing.sequence);
            let known = of.map(|of| (id, hash(&self.core.sequences[&of].tokens)));
            let chosen = chosen.into_iter().map(|token| (token, None)).collect();
            self.core.accept(id, chosen);
            self.take_events(&mut known.into_iter().collect());
        }
        self.check();
    }

    /// `hashes`: of all tokens before the ones that were chosen.
    pub fn take_events(&mut self, hashes: &mut HashMap<RequestId, u64>) {
        while let Some(event) = self.core.events.pop_front() {
            match event {
                Event::Piece { request, piece, .. } => {
                    let (tokens, end) = self.replies.get_mut(&request).expect("a request");
                    assert_eq!(*end, None, "{request:?} goes on after its end");
                    if let Some(token) = piece.token {
                        let hash = hashes.get_mut(&request).expect("it had a row");
                        assert_eq!(token_after(*hash, 512), token, "{request:?}");
                        *hash = after(*hash, token);
                        tokens.push(token);
                    }
                }
                Event::Finished {
                    request,
                    reason,
                    usage,
                } => {
                    let (tokens, end) = self.replies.get_mut(&request).expect("a request");
                    assert_eq!(end.replace(Ok(reason)), None, "{request:?} ends twice");
                    assert_eq!(usage.completion_tokens, tokens.len());
                    self.usage.insert(request, usage);
                }
                Event::Failed { request, error } => {
                    // Empty: the request before it, which had the prompt, was cancelled.
                    let is_expected = matches!(
                        error,
                        Error::ContextFull { .. } | Error::Empty | Error::Stopped
                    );
                    assert!(is_expected, "{error}");
                    let (_, end) = self.replies.get_mut(&request).expect("a request");
                    assert_eq!(end.replace(Err(error)), None, "{request:?} ends twice");
                }
            }
        }
    }

    pub fn check(&self) {
        assert_eq!(self.core.check(), Ok(()));
        if self.core.memory_ops.is_empty() {
            self.device.check(&self.core);
            assert_eq!(self.device.host_pages(), self.core.on_host);
        }
    }

    /// Steps until nothing is left to do.
    pub fn finish(&mut self) {
        let mut idle = 0;
        for _ in 0..5000 {
            idle = if self.step() { 0 } else { idle + 1 };
            assert!(idle < 3, "a loop of steps spins");
            if self.core.requests.is_empty() {
                return;
            }
        }
        assert_eq!(self.core.requests.len(), 0, "requests never end");
    }
}

#[test]
fn replies_follow_their_prompts() {
    let mut tested = Tested::new(LIMITS);
    let sequences: Vec<_> = (0..3).map(|_| tested.open()).collect();
    for (number, &sequence) in (0..).zip(&sequences) {
        tested
            .submit(sequence, request(text(number, 50 + number as usize), 7))
            .expect("room");
        tested
            .submit(sequence, request(text(9, 3), 5))
            .expect("room");
    }
    tested.finish();
    for &sequence in &sequences {
        // The prompts, the replies, and all tokens of the last reply.
        let len = tested.core.sequence(sequence).expect("open").len();
        assert!((65..=67).contains(&len), "{len}");
    }
    assert!(
        tested
            .replies
            .values()
            .all(|(_, end)| *end == Some(Ok(FinishReason::Length)))
    );
}

#[test]
fn a_prefix_is_computed_once() {
    let mut tested = Tested::new(LIMITS);
    let first = tested.open();
    tested
        .submit(first, request(text(1, 200), 3))
        .expect("room");
    tested.finish();
    tested.core.close(first).expect("open");
    let again = tested.open();
    let request_again = tested
        .submit(again, request(text(1, 200), 3))
        .expect("room");
    tested.finish();
    assert_eq!(tested.usage[&request_again].cached_tokens, 192);
    // Another salt finds nothing.
    let other = tested
        .core
        .open(&SequenceOptions::default().salt(b"another user".to_vec()));
    let other_request = tested
        .submit(other, request(text(1, 200), 3))
        .expect("room");
    tested.finish();
    assert_eq!(tested.usage[&other_request].cached_tokens, 0);
}

#[test]
fn a_shared_prefix_takes_its_memory_once() {
    let mut tested = Tested::new(Limits {
        pages: 60,
        running: 8,
        ..LIMITS
    });
    let first = tested.open();
    tested
        .submit(first, request(text(2, 1000), 1))
        .expect("room");
    tested.finish();
    let alone = tested.core.pages.in_use();
    for _ in 0..8 {
        let fork = tested.core.fork(first, 1000).expect("room");
        tested.sequences.push(fork);
        tested.submit(fork, request(text(3, 1), 4)).expect("room");
    }
    tested.finish();
    assert_eq!((alone, tested.core.pages.in_use()), (16, 24));
}

/// Sequences that have a page for their next token need no memory yet. Each running request keeps
/// a spare page all the same, and the pool grows by that many.
#[test]
fn forks_that_there_is_memory_for_start_together() {
    let mut tested = Tested::new(Limits {
        pages: 60,
        running: 8,
        ..LIMITS
    });
    let first = tested.open();
    tested
        .submit(first, request(text(2, 1000), 1))
        .expect("room");
    tested.finish();
    // Each fork has its own copy of the last page, so it misses none.
    tested.core.pages.grow_to(16 + 8);
    for _ in 0..8 {
        let fork = tested.core.fork(first, 1000).expect("room");
        tested.sequences.push(fork);
        tested.submit(fork, request(text(3, 1), 4)).expect("room");
    }
    assert_eq!(
        (tested.core.pages.in_use(), tested.core.pages.free()),
        (24, 0)
    );
    tested.step();
    assert_eq!(tested.core.running().count(), 8);
}

#[test]
fn an_interrupted_reply_goes_on_where_it_was() {
    // Four replies of up to 300 tokens in a pool of 12 pages: some have to wait on the host, some
    // are computed again.
    for host_pages in [0, 2, 100] {
        let mut tested = Tested::new(Limits {
            host_pages,
            ..LIMITS
        });
        for number in 0..4 {
            let sequence = tested.open();
            tested
                .submit(sequence, request(text(number, 60), 240))
                .expect("room");
        }
        tested.finish();
        let ends: Vec<_> = tested
            .replies
            .values()
            .map(|(tokens, end)| (tokens.len(), end.clone()))
            .collect();
        assert_eq!(ends, vec![(240, Some(Ok(FinishReason::Length))); 4]);
    }
}

#[test]
fn a_sequence_that_fills_the_pool_alone_ends_its_reply() {
    let mut tested = Tested::new(LIMITS);
    let sequence = tested.open();
    let id = tested
        .submit(sequence, request(text(0, 700), 500))
        .expect("room");
    tested.finish();
    let (tokens, end) = &tested.replies[&id];
    assert_eq!(
        (tokens.len(), end),
        (12 * 64 - 700 + 1, &Some(Ok(FinishReason::Context)))
    );
}

#[test]
fn what_can_never_run_is_refused() {
    let mut tested = Tested::new(Limits {
        waiting: 1,
        ..LIMITS
    });
    let sequence = tested.open();
    let refused = |error: Result<RequestId, Error>| error.expect_err("refused").to_string();
    assert_eq!(
        refused(tested.submit(sequence, request(text(0, 2049), 1))),
        "2049 more tokens do not fit: the context holds 2048, and 0 are used"
    );
    assert_eq!(
        refused(tested.submit(sequence, request(vec![512], 1))),
        "token 512 does not exist: the vocabulary has 512"
    );
    assert_eq!(
        refused(tested.submit(sequence, request(Vec::new(), 1))),
        "the session has no tokens to continue from; give it a prompt first"
    );
    tested.submit(sequence, request(vec![1], 1)).expect("room");
    assert_eq!(
        refused(tested.submit(sequence, request(vec![1], 1))),
        "1 requests wait already; try again later"
    );
    tested.core.close(sequence).expect("open");
    assert_eq!(
        refused(tested.submit(sequence, request(vec![1], 1))),
        "there is no such sequence; it may have been closed"
    );
    tested.take_events(&mut HashMap::new());
}
