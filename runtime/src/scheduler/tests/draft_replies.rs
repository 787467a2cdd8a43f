//! Replies with a draft model on a GPU: those that there are without it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pollster::block_on;

use super::super::{Budget, Event, Load, Request, Scheduler, SchedulerOptions};
use super::replies::{Tested, deterministic, engine, engine_of, text};
use crate::interrupt::{self, Kind};
use crate::{Engine, EngineOptions, Error, FinishReason, Sampling, Speculation};

const SHAPE: &str = "tiny:q8_0,vocab=512";
/// Another model with the same vocabulary: what it guesses is mostly wrong.
const OTHER: &str = "tiny:q8_0,vocab=512,layers=1";

fn with_draft(engine: &Engine, draft: &Engine, options: &SchedulerOptions) -> Tested {
    Tested::of(block_on(Scheduler::with_draft(engine, draft, options)).expect("a scheduler"))
}

/// Requests of several kinds, greedy and sampled.
fn requests(max_tokens: usize) -> Vec<Request> {
    let sampling = |number: u32| match number {
        0 | 1 => Sampling::greedy(),
        2 => Sampling::greedy().repetition_penalty(1.2),
        3 => Sampling::default().temperature(0.4).seed(5),
        _ => Sampling::default()
            .temperature(1.0)
            .frequency_penalty(0.2)
            .seed(9),
    };
    (0..5)
        .map(|number| {
            Request::new(text(number, 20 + 17 * number as usize))
                .sampling(sampling(number))
                .max_tokens(max_tokens)
                .speculation(Speculation::Tokens(3 + number % 3))
        })
        .collect()
}

/// The replies, and how many tokens were drafted and accepted.
fn replies(mut tested: Tested, requests: Vec<Request>) -> (Vec<Vec<u32>>, [usize; 2]) {
    for request in requests {
        tested.ask(request);
    }
    tested.finish();
    let speculated = tested.usage.values().map(|usage| usage.speculated);
    let counts = speculated.fold([0, 0], |[drafted, accepted], one| {
        [drafted + one.drafted, accepted + one.accepted]
    });
    (tested.replies.into_values().collect(), counts)
}

/// Polls a future until it ends, or drops it where the interruption strikes.
fn drive<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    loop {
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        if interrupt::has_struck() {
            return None;
        }
        std::thread::yield_now();
    }
}

fn without(requests: Vec<Request>) -> Vec<Request> {
    let plain = |request: Request| request.speculation(Speculation::Off);
    requests.into_iter().map(plain).collect()
}

#[test]
fn a_draft_model_changes_no_reply() {
    let engine = engine(EngineOptions::default());
    let other = engine_of(OTHER, 2048, EngineOptions::default());
    let plain = Tested::new(&engine, deterministic());
    let (expected, none) = replies(plain, without(requests(50)));
    assert_eq!(none, [0, 0]);
    let same = with_draft(&engine, &engine, &deterministic());
    let (found, [drafted, accepted]) = replies(same, requests(50));
    assert_eq!(found, expected);
    assert!(
        accepted > 120 && accepted * 10 > drafted * 9,
        "{accepted} of {drafted}"
    );
    let other = with_draft(&engine, &other, &deterministic());
    let (found, [drafted, accepted]) = replies(other, requests(50));
    assert_eq!(found, expected);
    assert!(
        drafted > 300 && accepted * 2 < drafted,
        "{accepted} of {drafted}"
    );
}

/// Both pools are too small for all: sequences of either model leave the GPU, and come back.
#[test]
fn a_draft_model_shares_the_memory() {
    let engine = engine(EngineOptions::default());
    let draft = engine_of(OTHER, 2048, EngineOptions::default());
    let of_page = |engine: &Engine| u64::from(godwit_shaders::PAGE) * engine.kv_bytes_per_token();
    let pages = |count: u64| {
        let memory = count * (of_page(&engine) + of_page(&draft));
        deterministic().kv_memory(Some(memory)).host_memory(1 << 30)
    };
    let run = |count: u64| {
        let mut tested = with_draft(&engine, &draft, &pages(count));
        for request in requests(150) {
            tested.ask(request);
        }
        let mut most = [0, 0];
        let mut on_host = 0;
        while tested.scheduler.has_work() {
            tested.step();
            let Load {
                pages, host_pages, ..
            } = tested.scheduler.load();
            most = [most[0].max(pages[0]), most[1].max(pages[1])];
            on_host = on_host.max(host_pages);
        }
        assert!(tested.ends.values().all(|end| *end == FinishReason::Length));
        (tested.replies, most, on_host)
    };
    let (roomy, _, none) = run(32);
    assert_eq!(none, 0);
    let (tight, most, on_host) = run(9);
    assert_eq!(tight, roomy);
    // More than one pool alone has, no more than both.
    assert!(
        most[0] > 9 && most[1] <= 18 && on_host > 0,
        "{most:?} {on_host}"
    );
}

#[test]
fn a_draft_model_with_a_shorter_context_guesses_as_far_as_it_goes() {
    let engine = engine(EngineOptions::default());
    let draft = engine_of(SHAPE, 100, EngineOptions::default());
    let (expected, _) = replies(Tested::new(&engine, deterministic()), without(requests(90)));
    let tested = with_draft(&engine, &draft, &deterministic());
    let (found, [drafted, accepted]) = replies(tested, requests(90));
    assert_eq!(found, expected);
    assert!(accepted > 100, "{accepted} of {drafted}");
}

#[test]
fn replies_that_end_early_take_their_guesses_with_them() {
    let engine = engine(EngineOptions::default());
    let (expected, _) = replies(Tested::new(&engine, deterministic()), without(requests(40)));
    for after in 3..12 {
        let mut tested = with_draft(&engine, &engine, &deterministic());
        let open: Vec<_> = (0..5).map(|_| tested.open()).collect();
        let asked = open.iter().zip(requests(40));
        let ids: Vec<_> = asked
            .map(|(&sequence, request)| tested.submit(sequence, request))
            .collect();
        for _ in 0..after {
            tested.step();
        }
        tested.scheduler.cancel(ids[0]);
        tested.scheduler.close(open[1]).expect("open");
        let len = tested.scheduler.tokens(open[2]).expect("open").len();
        let fork = tested.scheduler.fork(open[2], len).expect("room");
        tested.scheduler.truncate(open[2], 30).expect("open");
        let forked = tested.submit(fork, requests(40).remove(2));
        tested.finish();
        for (id, expected) in ids.iter().zip(&expected) {
            let reply = &tested.replies[id];
            assert_eq!(reply[..], expected[..reply.len()], "{id:?} after {after}");
        }
        assert_eq!(tested.replies[&ids[3]], expected[3]);
        assert_eq!(tested.replies[&ids[4]], expected[4]);
        assert_eq!(tested.replies[&forked].len(), 40);
        for sequence in [open[0], open[2], open[3], open[4], fork] {
            tested.scheduler.close(sequence).expect("open");
        }
        let load = tested.scheduler.load();
        assert_eq!((load.running, load.pages[0], load.host_pages), (0, 0, 0));
    }
}

/// The draft model's device fails while a reply waits for its guesses, and while its step is
/// dropped in its middle.
#[test]
fn replies_go_on_where_the_draft_model_fails() {
    let engine = engine(EngineOptions::default());
    let (expected, _) = replies(Tested::new(&engine, deterministic()), without(requests(40)));
    for after in [0, 2, 5, 9] {
        let mut tested = with_draft(&engine, &engine, &deterministic());
        for request in requests(40) {
            tested.ask(request);
        }
        let mut waits = 0;
        loop {
            block_on(tested.scheduler.step(Budget::default())).expect("a step");
            let is_draft = tested.scheduler.waits_for_draft();
            if is_draft && waits == after {
                break;
            }
            waits += usize::from(is_draft);
            block_on(tested.scheduler.wait()).expect("a device");
            tested.take_events();
        }
        interrupt::arm(0, Kind::Fail);
        let waited = block_on(tested.scheduler.wait());
        assert!(interrupt::disarm(), "nothing failed");
        assert_eq!(waited, Ok(()));
        tested.finish();
        let replies: Vec<_> = tested.replies.into_values().collect();
        assert_eq!(replies, expected, "after {after}");
    }
}

/// Futures of steps and waits are dropped in their middle. Requests whose step was dropped fail,
/// and nothing is lost; the others' replies are those that there are without a draft model.
#[test]
fn steps_that_are_dropped_lose_no_page() {
    let engine = engine(EngineOptions::default());
    let (expected, _) = replies(Tested::new(&engine, deterministic()), without(requests(25)));
    let mut failed = 0;
    for every in [3, 7, 20] {
        let mut tested = with_draft(&engine, &engine, &deterministic());
        let ids: Vec<_> = requests(25)
            .into_iter()
            .map(|request| tested.ask(request))
            .collect();
        let mut replies: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        let mut ends = BTreeMap::new();
        let mut rounds = 0..10_000_u32;
        while tested.scheduler.has_work() {
            let round = rounds.next().expect("it comes to an end");
            // Not always: what is dropped again and again comes to no end.
            if round % 5 == 0 {
                interrupt::arm(every + round / 5 % 4, Kind::Hang);
            }
            // What struck is dropped; the next call finds out.
            if let Some(stepped) = drive(tested.scheduler.step(Budget::default())) {
                stepped.expect("a step");
            }
            if let Some(waited) = drive(tested.scheduler.wait()) {
                waited.expect("a device");
            }
            interrupt::disarm();
            while let Some(event) = tested.scheduler.next_event() {
                match event {
                    Event::Piece { request, piece, .. } => {
                        replies.entry(request).or_default().extend(piece.token);
                    }
                    Event::Finished { request, .. } => {
                        assert_eq!(ends.insert(request, None), None, "{request:?}");
                    }
                    Event::Failed { request, error } => {
                        failed += 1;
                        assert_eq!(ends.insert(request, Some(error)), None, "{request:?}");
                    }
                }
            }
        }
        assert_eq!(ends.len(), ids.len());
        for (id, expected) in ids.iter().zip(&expected) {
            let reply = replies.remove(id).unwrap_or_default();
            assert_eq!(reply[..], expected[..reply.len()], "{id:?}");
            let error = &ends[id];
            assert!(matches!(error, None | Some(Error::Stopped)), "{error:?}");
            assert!(error.is_some() || reply.len() == 25);
        }
    }
    assert!(failed > 0, "no step was dropped");
}

/// A budget that nothing fits computes one token of a prompt at a time, with either model.
#[test]
fn a_small_budget_changes_no_reply() {
    let engine = engine(EngineOptions::default());
    let (expected, _) = replies(Tested::new(&engine, deterministic()), without(requests(12)));
    let mut tested = with_draft(&engine, &engine, &deterministic());
    for request in requests(12) {
        tested.ask(request);
    }
    while tested.scheduler.has_work() {
        let budget = Budget::default().gpu(Some(Duration::from_micros(300)));
        block_on(tested.scheduler.step(budget)).expect("a step");
        block_on(tested.scheduler.wait()).expect("a device");
        tested.take_events();
    }
    let found: Vec<_> = tested.replies.into_values().collect();
    assert_eq!(found, expected);
}

#[test]
fn other_vocabularies_are_refused() {
    let engine = engine(EngineOptions::default());
    let draft = engine_of("tiny:q8_0,vocab=500", 2048, EngineOptions::default());
    let options = SchedulerOptions::default();
    let refused = block_on(Scheduler::with_draft(&engine, &draft, &options)).map(|_| ());
    assert_eq!(refused, Err(Error::DraftVocabulary { id: 500 }));
}
