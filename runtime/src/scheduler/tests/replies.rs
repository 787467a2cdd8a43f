//! Replies of a small model on a GPU: the same however they were scheduled.

use std::collections::BTreeMap;

use pollster::block_on;

use super::super::{
    Budget, Event, LogProbs, Request, RequestId, Scheduler, SchedulerOptions, SequenceId,
    SequenceOptions, Usage,
};
use crate::low_level::Synthetic;
use crate::{
    ContextSize, Engine, EngineOptions, FinishReason, Gpu, GpuOptions, Sampling, Speculation,
};

pub fn engine(options: EngineOptions) -> Engine {
    engine_of("tiny:q8_0,vocab=512", 2048, options)
}

pub fn engine_of(shape: &str, context: u32, options: EngineOptions) -> Engine {
    let shape = shape.parse::<Synthetic>().expect("a shape");
    let model = shape.model().expect("a model");
    let gpu_options = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        webgpu_limits: true,
        // The number of steps in flight does not depend on how fast the machine is.
        in_flight_budget: Some(std::time::Duration::from_secs(60)),
        ..GpuOptions::default()
    };
    let gpu = block_on(Gpu::open(&gpu_options))
        .expect("a GPU, or the software driver that tests/fetch.sh installs");
    let options = EngineOptions {
        context: ContextSize::Tokens(context),
        ..options
    };
    block_on(Engine::load(gpu, &model, &options, &mut crate::unwatched)).expect("it loads")
}

pub struct Tested {
    pub scheduler: Scheduler,
    pub replies: BTreeMap<RequestId, Vec<u32>>,
    pub texts: BTreeMap<RequestId, String>,
    pub log_probs: BTreeMap<RequestId, Vec<LogProbs>>,
    pub usage: BTreeMap<RequestId, Usage>,
    pub ends: BTreeMap<RequestId, FinishReason>,
    /// The most steps that were in flight at once.
    pub most_in_flight: usize,
    /// How often a step and a wait after each other did nothing.
    idle: usize,
}

impl Tested {
    pub fn new(engine: &Engine, options: SchedulerOptions) -> Self {
        let scheduler = block_on(Scheduler::new(engine, &options));
        Self::of(scheduler.expect("a scheduler"))
    }

    pub fn of(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            replies: BTreeMap::new(),
            texts: BTreeMap::new(),
            log_probs: BTreeMap::new(),
            most_in_flight: 0,
            idle: 0,
            usage: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    pub fn open(&mut self) -> SequenceId {
        self.scheduler.open(&SequenceOptions::default())
    }

    pub fn submit(&mut self, sequence: SequenceId, request: Request) -> RequestId {
        let id = self.scheduler.submit(sequence, request).expect("room");
        self.replies.insert(id, Vec::new());
        id
    }

    /// A request in a sequence of its own.
    pub fn ask(&mut self, request: Request) -> RequestId {
        let sequence = self.open();
        self.submit(sequence, request)
    }

    pub fn finish(&mut self) {
        while self.scheduler.has_work() {
            self.step();
        }
    }

    /// One turn of an owner's loop.
    pub fn step(&mut self) {
        let report = block_on(self.scheduler.step(Budget::default())).expect("a step");
        let in_flight = self.scheduler.in_flight.len();
        self.most_in_flight = self.most_in_flight.max(in_flight);
        block_on(self.scheduler.wait()).expect("a device");
        let has_submitted = report.decoded + report.prompt_tokens > 0;
        let has_arrived = self.scheduler.in_flight.len() < in_flight;
        // A draft model may have done something.
        self.idle = match has_submitted || has_arrived || self.scheduler.draft.is_some() {
            true => 0,
            false => self.idle + 1,
        };
        assert!(self.idle < 3, "the loop spins");
        self.take_events();
    }

    pub fn take_events(&mut self) {
        while let Some(event) = self.scheduler.next_event() {
            match event {
                Event::Piece {
                    request,
                    piece,
                    log_probs,
                } => {
                    assert_eq!(self.ends.get(&request), None, "{request:?} goes on");
                    let reply = self.replies.get_mut(&request).expect("a request");
                    reply.extend(piece.token);
                    *self.texts.entry(request).or_default() += &piece.text;
                    self.log_probs.entry(request).or_default().extend(log_probs);
                }
                Event::Finished {
                    request,
                    reason,
                    usage,
                } => {
                    self.usage.insert(request, usage);
                    let before = self.ends.insert(request, reason);
                    assert_eq!(before, None, "{request:?} ends twice");
                }
                Event::Failed { request, error } => {
                    assert_eq!(error.to_string(), "", "{request:?}");
                }
            }
        }
    }
}

pub fn text(number: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|i| (i * i + 17 * number + 3) % 500)
        .collect()
}

pub fn sampled(prompt: Vec<u32>, max_tokens: usize) -> Request {
    let sampling = Sampling::default().temperature(1.0).seed(7);
    Request::new(prompt)
        .sampling(sampling)
        .max_tokens(max_tokens)
}

pub fn deterministic() -> SchedulerOptions {
    SchedulerOptions::default().deterministic(true)
}

#[test]
fn one_reply_is_that_of_a_session() {
    let engine = engine(EngineOptions::default());
    let mut session = block_on(engine.session()).expect("a session");
    for len in [1, 63, 64, 65, 200] {
        let prompt = text(1, len);
        session.truncate(0);
        block_on(session.prefill(&prompt, &mut crate::unwatched)).expect("room");
        let greedy = Sampling::greedy();
        let expected: Vec<u32> = (0..30)
            .map(|_| block_on(session.next(&greedy)).expect("a token"))
            .collect();
        let mut tested = Tested::new(&engine, SchedulerOptions::default());
        let id = tested.ask(Request::new(prompt).sampling(greedy).max_tokens(30));
        tested.finish();
        assert_eq!(tested.replies[&id], expected, "a prompt of {len}");
    }
}

#[test]
fn neighbours_change_nothing() {
    let engine = engine(EngineOptions::default());
    let mut replies = Vec::new();
    for neighbours in [0, 3, 15] {
        let mut tested = Tested::new(&engine, deterministic());
        let id = tested.ask(sampled(text(1, 100), 40));
        for number in 0..neighbours {
            tested.ask(sampled(
                text(number + 2, 10 * number as usize + 1),
                30 + number as usize,
            ));
        }
        tested.finish();
        replies.push(tested.replies.remove(&id));
    }
    assert_eq!(replies[1], replies[0]);
    assert_eq!(replies[2], replies[0]);
}

#[test]
fn a_cached_prefix_and_a_fork_change_nothing() {
    let engine = engine(EngineOptions::default());
    let fresh = {
        let mut tested = Tested::new(&engine, deterministic());
        let id = tested.ask(sampled(text(1, 300), 20));
        tested.finish();
        tested.replies.remove(&id)
    };
    let mut tested = Tested::new(&engine, deterministic());
    let first = tested.open();
    tested.submit(first, sampled(text(1, 250), 20));
    tested.finish();
    // The first 192 tokens are in whole pages.
    let again = tested.ask(sampled(text(1, 300), 20));
    tested.finish();
    assert_eq!(tested.usage[&again].cached_tokens, 192);
    assert_eq!(tested.replies.get(&again), fresh.as_ref());
    // A fork in the middle of a page.
    let fork = tested.scheduler.fork(first, 230).expect("room");
    let forked = tested.submit(fork, sampled(text(1, 300)[230..].to_vec(), 20));
    tested.finish();
    assert_eq!(tested.replies.get(&forked), fresh.as_ref());
    // The first one goes on as it was.
    let tokens = tested.scheduler.tokens(first).expect("open");
    assert_eq!(tokens[..250], text(1, 250));
}

#[test]
fn replies_that_had_to_leave_the_gpu_go_on_as_they_were() {
    let engine = engine(EngineOptions::default());
    let page = u64::from(godwit_shaders::PAGE)
        * crate::engine::kv_bytes(engine.model().config(), engine.kv_format());
    let replies = |pages: u64, host_memory: u64| {
        let options = deterministic()
            .kv_memory(Some(pages * page))
            .host_memory(host_memory);
        let mut tested = Tested::new(&engine, options);
        for number in 0..4 {
            tested.ask(sampled(text(number, 60), 200));
        }
        tested.finish();
        assert!(tested.ends.values().all(|end| *end == FinishReason::Length));
        tested.replies.into_values().collect::<Vec<_>>()
    };
    let roomy = replies(32, 0);
    // Four replies need 20 pages.
    assert_eq!(replies(9, 1 << 30), roomy);
}

#[test]
fn pages_in_several_segments_hold_the_same() {
    let replies = |segment: Option<u32>| {
        let engine = engine(EngineOptions::default().segment_tokens(segment));
        let mut tested = Tested::new(&engine, SchedulerOptions::default());
        for number in 0..5 {
            let prompt = text(number, 150);
            tested.ask(
                Request::new(prompt)
                    .sampling(Sampling::greedy())
                    .max_tokens(60),
            );
        }
        tested.finish();
        tested.replies.into_values().collect::<Vec<_>>()
    };
    assert_eq!(replies(Some(128)), replies(None));
}

#[test]
fn guesses_change_nothing() {
    let engine = engine(EngineOptions::default());
    let replies = |speculation: Speculation| {
        let mut tested = Tested::new(&engine, deterministic());
        for number in 0..5 {
            let prompt = [text(number, 30), text(number, 30), text(number, 10)].concat();
            let sampling = match number {
                0 | 1 => Sampling::greedy(),
                _ => Sampling::default()
                    .temperature(0.3)
                    .repetition_penalty(1.1)
                    .seed(5),
            };
            let request = Request::new(prompt).sampling(sampling).max_tokens(70);
            tested.ask(request.speculation(speculation));
        }
        tested.finish();
        let accepted: usize = tested
            .usage
            .values()
            .map(|usage| usage.speculated.accepted)
            .sum();
        (tested.replies.into_values().collect::<Vec<_>>(), accepted)
    };
    let (without, none) = replies(Speculation::Off);
    let (with, accepted) = replies(Speculation::Tokens(6));
    assert_eq!(with, without);
    assert!(none == 0 && accepted > 20, "{accepted} accepted");
}

#[test]
fn log_probs_come_with_each_token() {
    let engine = engine(EngineOptions::default());
    let mut scheduler =
        block_on(Scheduler::new(&engine, &SchedulerOptions::default())).expect("a scheduler");
    let sequence = scheduler.open(&SequenceOptions::default());
    let request = Request::new(text(1, 20))
        .sampling(Sampling::greedy())
        .max_tokens(5);
    scheduler
        .submit(sequence, request.log_probs(Some(3)))
        .expect("room");
    let mut seen = 0;
    while scheduler.has_work() {
        block_on(scheduler.step(Budget::default())).expect("a step");
        block_on(scheduler.wait()).expect("a device");
        while let Some(event) = scheduler.next_event() {
            if let Event::Piece {
                piece, log_probs, ..
            } = event
            {
                let log_probs = log_probs.expect("they were asked for");
                // The most likely token was chosen.
                assert_eq!(
                    (log_probs.top.len(), Some(log_probs.top[0].0)),
                    (3, piece.token)
                );
                assert_eq!(log_probs.top[0].1, log_probs.chosen);
                assert!(log_probs.chosen < 0.0 && log_probs.top[2].1 <= log_probs.top[1].1);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 5);
}
