//! Steps in slices on a host's device: replies do not depend on time, nothing is made after the
//! warm-up, nothing waits.
//! Longer than 400 lines: one subject, whose cases share what drives a scheduler frame by frame.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use godwit::low_level::Synthetic;
use godwit::scheduler::{
    Budget, Event, LogProbs, Mode, Request, RequestId, Scheduler, SchedulerOptions,
    SequenceOptions, SliceTime,
};
use godwit::{ContextSize, Engine, EngineOptions, Model, Sampling, unwatched};
use godwit_tests::host::{Host, beside_a_poller};
use godwit_tests::model::{session, smollm2};
use pollster::block_on;

const TOKENS: usize = 256;

fn load(host: &Host, model: &Model, context: u32) -> Engine {
    let options = EngineOptions::default().context(ContextSize::Tokens(context));
    let gpu = host.share().expect("it is shared");
    block_on(Engine::load(gpu, model, &options, &mut unwatched)).expect("it loads")
}

fn tiny() -> Model {
    let shape: Synthetic = "tiny:q8_0,vocab=512,context=1024".parse().expect("a shape");
    shape.model().expect("a model")
}

fn text(seed: u32, len: u32) -> Vec<u32> {
    let token = |i: u32| (i.wrapping_mul(i).wrapping_add(seed.wrapping_mul(97))) % 509;
    (0..len).map(token).collect()
}

/// A scheduler, and all that was heard of its requests.
struct Tested {
    scheduler: Scheduler,
    tokens: BTreeMap<RequestId, Vec<u32>>,
    log_probs: BTreeMap<RequestId, Vec<LogProbs>>,
    slices: Vec<SliceTime>,
}

impl Tested {
    fn new(engine: &Engine, options: &SchedulerOptions) -> Self {
        let scheduler = block_on(Scheduler::new(engine, options)).expect("memory");
        Self {
            scheduler,
            tokens: BTreeMap::new(),
            log_probs: BTreeMap::new(),
            slices: Vec::new(),
        }
    }

    fn warm(engine: &Engine, options: &SchedulerOptions) -> Self {
        let mut tested = Self::new(engine, options);
        block_on(tested.scheduler.warm_up()).expect("memory");
        tested
    }

    fn submits(&self) -> u64 {
        self.scheduler.engine().gpu().host_work().submits
    }

    /// One frame. Returns whether it did nothing.
    fn step(&mut self) -> bool {
        let report = block_on(self.scheduler.step(Budget::default())).expect("a device");
        self.slices.extend(report.slice);
        while let Some(event) = self.scheduler.next_event() {
            match event {
                Event::Piece {
                    request,
                    piece,
                    log_probs,
                } => {
                    self.tokens.entry(request).or_default().extend(piece.token);
                    self.log_probs.entry(request).or_default().extend(log_probs);
                }
                Event::Failed { error, .. } => unreachable!("{error}"),
                _ => {}
            }
        }
        report.is_waiting
    }

    fn finish(&mut self) {
        while self.scheduler.has_work() {
            self.step();
            block_on(self.scheduler.wait()).expect("a device");
        }
        self.step();
    }

    fn ask(&mut self, prompt: Vec<u32>, count: usize) -> RequestId {
        let sequence = self.scheduler.open(&SequenceOptions::default());
        let asked = self.scheduler.submit(sequence, greedy(prompt, count));
        asked.expect("room")
    }
}

fn greedy(prompt: Vec<u32>, count: usize) -> Request {
    let sampling = Sampling::greedy();
    Request::new(prompt).sampling(sampling).max_tokens(count)
}

fn frames(milliseconds: f64) -> SchedulerOptions {
    let budget = Duration::from_secs_f64(milliseconds * 1e-3);
    SchedulerOptions::default()
        .max_running(4)
        .frame_budget(Some(budget))
}

#[test]
fn ids_do_not_depend_on_time() {
    let (host, model) = (Host::willing(), smollm2());
    let engine = load(&host, &model, 512);
    let said =
        "The three rules of a lighthouse keeper are simple. First, the lamp must never go out";
    let prompt = model.tokenizer().encode_prompt(said).expect("it is text");
    let mut blocking = session(&engine);
    block_on(blocking.prefill(&prompt, &mut unwatched)).expect("it fits");
    let expected: Vec<u32> = (0..TOKENS)
        .map(|_| block_on(blocking.next(&Sampling::greedy())).expect("a token"))
        .collect();
    drop(blocking);
    let mut exact = None;
    for budget in [1000.0, 50.0, 6.0, 2.0] {
        let mut tested = Tested::warm(&engine, &frames(budget));
        let before = tested.submits();
        let begin = std::time::Instant::now();
        let sequence = tested.scheduler.open(&SequenceOptions::default());
        // Without an end of turn, so that there are as many.
        let request = greedy(prompt.clone(), TOKENS).log_probs(Some(3));
        let id = tested.scheduler.submit(sequence, request).expect("room");
        tested.finish();
        let took = begin.elapsed().as_secs_f64();
        let given = &tested.tokens[&id];
        assert_eq!(given[..], expected[..given.len()], "{budget} ms");
        assert!(given.len() > 40, "{}", given.len());
        let log_probs = tested.log_probs.remove(&id).expect("asked for");
        assert_eq!(*exact.get_or_insert_with(|| log_probs.clone()), log_probs);
        let mut ratios: Vec<f64> = tested
            .slices
            .iter()
            .map(|slice| slice.gpu.as_secs_f64() / slice.budget.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share) as usize];
        println!(
            "{budget} ms: {} tokens in {took:.2} s, {} slices, {} submissions; share of the \
             budget: p50 {:.2}, p90 {:.2}, p99 {:.2}, most {:.2}; late {}",
            given.len(),
            ratios.len(),
            tested.submits() - before,
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
            tested.slices.iter().filter(|slice| slice.is_late).count(),
        );
    }
    assert_eq!(engine.gpu().host_work().waits, 0);
    assert_eq!(host.errors.load(Ordering::Relaxed), 0);
}

#[test]
fn nothing_is_made_after_the_warm_up() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 1024);
    let mut tested = Tested::warm(&engine, &frames(0.2));
    let made = || {
        let work = engine.gpu().host_work();
        (work.pipelines, work.buffers)
    };
    let ready = made();
    let system = tested.scheduler.open(&SequenceOptions::default());
    let request = greedy(text(1, 150), 0);
    tested.scheduler.submit(system, request).expect("room");
    tested.finish();
    let tokens = tested.scheduler.tokens(system).expect("it is open").len();
    for turn in 0..3 {
        for character in 0..6 {
            let fork = tested.scheduler.fork(system, tokens - character);
            let fork = fork.expect("it is that long");
            let sampling = match character % 3 {
                0 => Sampling::greedy(),
                1 => Sampling::default().seed(7).repetition_penalty(1.2),
                _ => Sampling::default().seed(9).logit_bias(vec![(7, 2.0)]),
            };
            let request = Request::new(text(turn + 5, 40 + character as u32))
                .sampling(sampling)
                .max_tokens(20)
                .log_probs((character % 2 == 0).then_some(4));
            let id = tested.scheduler.submit(fork, request).expect("room");
            if character == 4 {
                for _ in 0..9 {
                    tested.step();
                }
                tested.scheduler.cancel(id);
            }
        }
        tested.finish();
    }
    assert_eq!(made(), ready);
    assert_eq!(engine.gpu().host_work().waits, 0);
}

#[test]
fn one_slice_is_outstanding_and_a_pause_submits_nothing() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 1024);
    let mut tested = Tested::warm(&engine, &frames(0.2));
    let id = tested.ask(text(1, 100), 20);
    while tested.scheduler.has_work() {
        let before = tested.submits();
        let is_waiting = tested.step();
        assert!(!is_waiting || tested.submits() == before);
        if tested.tokens.get(&id).is_some_and(|given| given.len() == 4) {
            break;
        }
    }
    tested.scheduler.set_mode(Mode::Paused);
    let before = tested.submits();
    for _ in 0..20 {
        tested.step();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(tested.submits(), before);
    // In the middle of a pass, with a slice outstanding, and back.
    for _ in 0..4 {
        tested.scheduler.set_mode(Mode::Free);
        tested.step();
        let gpu = Duration::from_micros(50);
        tested.scheduler.set_mode(Mode::Frames { gpu });
        tested.step();
        tested.step();
    }
    tested.finish();
    let mut free = Tested::new(&engine, &SchedulerOptions::default());
    let of_free = free.ask(text(1, 100), 20);
    free.finish();
    assert_eq!(tested.tokens[&id], free.tokens[&of_free]);
}

#[test]
fn a_cancelled_request_submits_nothing_more() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 1024);
    let mut tested = Tested::warm(&engine, &frames(0.05));
    let mut whole = Tested::warm(&engine, &frames(0.05));
    let expected = whole.ask(text(3, 150), 12);
    whole.finish();
    for frames in [1, 2, 5, 9, 17, 33] {
        let sequence = tested
            .scheduler
            .open(&SequenceOptions::default().salt(vec![frames]));
        let asked = tested.scheduler.submit(sequence, greedy(text(3, 150), 12));
        let id = asked.expect("room");
        for _ in 0..frames {
            tested.step();
            block_on(tested.scheduler.wait()).expect("a device");
        }
        tested.scheduler.cancel(id);
        let before = tested.submits();
        for _ in 0..5 {
            tested.step();
        }
        assert_eq!(tested.submits(), before, "after {frames} frames");
        // What was not computed is, once the sequence goes on.
        tested
            .scheduler
            .truncate(sequence, 150)
            .expect("it is open");
        let asked = tested.scheduler.submit(sequence, greedy(Vec::new(), 12));
        let id = asked.expect("room");
        tested.finish();
        assert_eq!(
            tested.tokens[&id], whole.tokens[&expected],
            "after {frames} frames"
        );
    }
}

/// Forks, cancels, truncates and goes on in the middle of passes; then what each sequence would say
/// next is compared with what it says where all of it is computed anew.
#[test]
fn sequences_are_whole_whatever_happens_between_frames() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 1024);
    let mut tested = Tested::warm(&engine, &frames(0.1));
    let mut state = 1_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut open = Vec::new();
    let mut running = Vec::new();
    for number in 0..600 {
        match random(9) {
            0 if open.len() < 5 => open.push(tested.scheduler.open(&SequenceOptions::default())),
            1 | 2 if !open.is_empty() => {
                let sequence = open[random(open.len() as u32) as usize];
                let held = tested.scheduler.tokens(sequence).expect("open").len();
                let prompt = text(random(3), 1 + random(130));
                if held + prompt.len() < 500 {
                    let request = greedy(prompt, random(8) as usize);
                    running.extend(tested.scheduler.submit(sequence, request));
                }
            }
            3 if !running.is_empty() => {
                let at = random(running.len() as u32) as usize;
                tested.scheduler.cancel(running.swap_remove(at));
            }
            4 if !open.is_empty() && open.len() < 5 => {
                let sequence = open[random(open.len() as u32) as usize];
                let held = tested.scheduler.tokens(sequence).expect("open").len();
                let position = random(held as u32 + 1) as usize;
                open.push(tested.scheduler.fork(sequence, position).expect("as long"));
            }
            5 if !open.is_empty() && number % 3 == 0 => {
                let sequence = open[random(open.len() as u32) as usize];
                let held = tested.scheduler.tokens(sequence).expect("open").len();
                let len = random(held as u32 + 1) as usize;
                tested.scheduler.truncate(sequence, len).expect("open");
            }
            6 if open.len() > 3 => {
                let at = random(open.len() as u32) as usize;
                tested.scheduler.close(open.swap_remove(at)).expect("open");
            }
            _ => {
                for _ in 0..random(12) {
                    tested.step();
                }
            }
        }
    }
    tested.finish();
    let mut compared = 0;
    for sequence in open {
        let tokens = tested.scheduler.tokens(sequence).expect("open");
        if tokens.is_empty() {
            continue;
        }
        let ask = |tested: &mut Tested, sequence, prompt| {
            let request = greedy(prompt, 1).log_probs(Some(8));
            let id = tested.scheduler.submit(sequence, request).expect("room");
            tested.finish();
            tested.log_probs[&id][0].clone()
        };
        let given = ask(&mut tested, sequence, Vec::new());
        let mut free = Tested::new(&engine, &SchedulerOptions::default());
        let anew = free.scheduler.open(&SequenceOptions::default());
        let expected = ask(&mut free, anew, tokens);
        for (given, expected) in given.top.iter().zip(&expected.top) {
            assert!(
                (given.1 - expected.1).abs() < 2e-2,
                "{given:?} {expected:?}"
            );
        }
        compared += 1;
    }
    assert!(compared > 1, "{compared}");
}

#[test]
fn a_late_warm_up_leaves_what_a_fork_still_has_to_copy() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 512);
    let replies = [false, true].map(|warms_up| {
        let mut tested = Tested::warm(&engine, &frames(50.0));
        let parent = tested.scheduler.open(&SequenceOptions::default());
        let prompt = greedy(text(5, 90), 4);
        tested.scheduler.submit(parent, prompt).expect("room");
        tested.finish();
        // The page of the last tokens is copied by the next step, and free at once.
        let child = tested.scheduler.fork(parent, 70).expect("a fork");
        tested.scheduler.close(parent).expect("it is open");
        if warms_up {
            block_on(tested.scheduler.warm_up()).expect("memory");
        }
        let asked = tested.scheduler.submit(child, greedy(text(7, 3), 20));
        let asked = asked.expect("room");
        tested.finish();
        tested.tokens[&asked].clone()
    });
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn ten_thousand_frames_beside_a_thread_that_polls() {
    let host = Host::willing();
    let engine = load(&host, &tiny(), 1024);
    let mut tested = Tested::warm(&engine, &frames(0.2));
    let mut alone = Tested::warm(&engine, &frames(1000.0));
    let prompts: Vec<u32> = (0..4).collect();
    let expected: Vec<_> = prompts
        .iter()
        .map(|&seed| {
            let id = alone.ask(text(seed, 70), 30);
            alone.finish();
            alone.tokens[&id].clone()
        })
        .collect();
    let mut replies = 0;
    let mut asked = Vec::new();
    beside_a_poller(&host, || {
        for number in 0..10_000 {
            if !tested.scheduler.has_work() {
                for (id, expected) in asked.drain(..).zip(&expected) {
                    assert_eq!(&tested.tokens[&id], expected);
                    replies += 1;
                }
                let ask = |&seed: &u32| tested.ask(text(seed, 70), 30);
                asked = prompts.iter().map(ask).collect();
            }
            host.frame(16 + number / 100);
            tested.step();
        }
    });
    assert!(replies > 4, "{replies} replies");
    let work = engine.gpu().host_work();
    assert_eq!((work.waits, host.errors.load(Ordering::Relaxed)), (0, 0));
}
