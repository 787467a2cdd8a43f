//! Two steps in flight: the same replies as with one, and no request that ends twice or never.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::super::{Budget, Event, LogProbs, Request, RequestId, SchedulerOptions, Usage};
use super::books::{self, LIMITS};
use super::replies::{Tested, deterministic, engine, sampled, text};
use crate::error::Error;
use crate::interrupt::{self, Kind};
use crate::scheduler::core::Limits;
use crate::{EngineOptions, FinishReason, Sampling, Speculation};

fn greedy(prompt: Vec<u32>, max_tokens: usize) -> Request {
    let sampling = Sampling::greedy();
    Request::new(prompt)
        .sampling(sampling)
        .max_tokens(max_tokens)
}

/// All that an owner hears of requests, in the order in which they were submitted.
type Heard = Vec<(
    Vec<u32>,
    Option<String>,
    Option<Vec<LogProbs>>,
    Option<FinishReason>,
    Option<Usage>,
)>;

fn heard(tested: &Tested) -> Heard {
    let all = tested.replies.iter();
    all.map(|(id, reply)| {
        (
            reply.clone(),
            tested.texts.get(id).cloned(),
            tested.log_probs.get(id).cloned(),
            tested.ends.get(id).cloned(),
            tested.usage.get(id).copied(),
        )
    })
    .collect()
}

/// What is heard with one and with two steps in flight.
fn once_and_twice(options: &SchedulerOptions, ask: impl Fn(&mut Tested)) -> [Heard; 2] {
    let engine = engine(EngineOptions::default());
    [1, 2].map(|steps| {
        let options = options.clone().steps_in_flight(Some(steps));
        let mut tested = Tested::new(&engine, options);
        ask(&mut tested);
        tested.finish();
        assert_eq!(tested.most_in_flight, steps as usize);
        heard(&tested)
    })
}

#[test]
fn replies_are_the_same_with_two_steps_in_flight() {
    let of_both = |tested: &mut Tested| {
        tested.ask(greedy(text(1, 100), 30));
        tested.ask(sampled(text(2, 63), 40));
        tested.ask(sampled(text(3, 1), 1));
        tested.ask(greedy(text(4, 20), 2));
        tested.ask(greedy(text(5, 64), 0));
        let biased = Sampling::default().seed(3).logit_bias(vec![(7, 2.0)]);
        tested.ask(sampled(text(6, 30), 20).sampling(biased));
        tested.ask(sampled(text(7, 40), 25).log_probs(Some(4)));
    };
    let [once, twice] = once_and_twice(&SchedulerOptions::default(), of_both);
    assert_eq!(twice, once);
    // Requests of one sequence, guesses, penalties, and more rows than few-row kernels compute.
    let of_deterministic = |tested: &mut Tested| {
        of_both(tested);
        let sequence = tested.open();
        for number in 0..4 {
            tested.submit(sequence, sampled(text(number, 30), 9));
        }
        let penalty = Sampling::default().seed(5).repetition_penalty(1.3);
        tested.ask(sampled(text(8, 90), 30).sampling(penalty));
        let repeated = [text(9, 30), text(9, 30), text(9, 10)].concat();
        tested.ask(greedy(repeated, 50).speculation(Speculation::Tokens(5)));
    };
    let [once, twice] = once_and_twice(&deterministic(), of_deterministic);
    assert_eq!(twice, once);
}

#[test]
fn a_stop_string_ends_a_reply_whose_next_token_is_in_flight() {
    let engine = engine(EngineOptions::default());
    let mut tested = Tested::new(&engine, deterministic());
    let id = tested.ask(sampled(text(1, 50), 30));
    tested.finish();
    // From the middle of the text.
    let whole = &tested.texts[&id];
    let at = whole.char_indices().nth(whole.chars().count() / 2);
    let stop: String = whole[at.expect("a text").0..].chars().take(2).collect();
    let ask = |tested: &mut Tested| {
        let sequence = tested.open();
        let request = sampled(text(1, 50), 30).stop(vec![stop.clone()]);
        tested.submit(sequence, request);
        // It goes on after the token that ended the reply.
        tested.submit(sequence, sampled(text(2, 20), 10));
    };
    let [once, twice] = once_and_twice(&deterministic(), ask);
    assert_eq!(once[0].3, Some(FinishReason::StopString));
    assert_eq!(twice, once);
}

#[test]
fn a_fork_and_a_cancel_in_the_middle_of_a_reply_change_nothing() {
    let ask = |tested: &mut Tested| {
        let sequence = tested.open();
        let id = tested.submit(sequence, sampled(text(1, 58), 60));
        let cancelled = tested.ask(sampled(text(3, 30), 100));
        while tested.replies[&id].len() < 12 {
            tested.step();
        }
        // Token 64, which begins a page, is known.
        for position in [61, 64, 65] {
            let fork = tested.scheduler.fork(sequence, position).expect("open");
            tested.submit(fork, sampled(text(2, 5), 20));
        }
        tested.scheduler.cancel(cancelled);
        tested.step();
        // How far it came depends on when it was cancelled.
        tested.replies.remove(&cancelled);
        tested.scheduler.cancel(cancelled);
        let another = tested.ask(sampled(text(4, 70), 10));
        tested.step();
        assert_eq!(tested.replies[&another].len(), 0);
    };
    let [once, twice] = once_and_twice(&deterministic(), ask);
    assert_eq!(twice, once);
}

#[test]
fn a_cancelled_sequence_goes_on_as_a_new_one_would() {
    let engine = engine(EngineOptions::default());
    let two = deterministic().steps_in_flight(Some(2));
    let mut tested = Tested::new(&engine, two);
    let sequence = tested.open();
    let id = tested.submit(sequence, sampled(text(1, 126), 60));
    // The next token in flight is the first of a page.
    while tested.scheduler.tokens(sequence).expect("open").len() < 128 {
        tested.step();
    }
    tested.scheduler.cancel(id);
    let len = tested.scheduler.tokens(sequence).expect("open").len();
    let next = tested.submit(sequence, sampled(text(2, 9), 12));
    tested.finish();
    let tokens = tested.scheduler.tokens(sequence).expect("open");
    assert_eq!(tokens[len..len + 9], text(2, 9));
    assert_eq!(tokens[len + 9..], tested.replies[&next]);
    // One token of each of its pages was computed by a decode step.
    let fork = tested.scheduler.fork(sequence, len).expect("open");
    let again = tested.submit(fork, sampled(text(2, 9), 12));
    tested.finish();
    assert_eq!(tested.replies[&again], tested.replies[&next]);
}

#[test]
fn passes_of_a_step_do_not_overwrite_each_others_tokens() {
    let ask = |tested: &mut Tested| {
        // No pass has more than two rows.
        tested.scheduler.device.executor.size.chunk = 2;
        for number in 0..7 {
            tested.ask(sampled(text(number, 2), 20 + number as usize));
        }
    };
    let [once, twice] = once_and_twice(&deterministic(), ask);
    assert_eq!(twice, once);
}

/// Polls a future to its end. None: it was interrupted, and dropped.
fn drive<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Some(result);
        }
        if interrupt::has_struck() {
            return None;
        }
        std::thread::yield_now();
    }
}

/// Each wait and each allocation fails, or its future is dropped.
#[test]
fn every_request_ends_once_whatever_fails() {
    let engine = engine(EngineOptions::default());
    let two = deterministic().steps_in_flight(Some(2));
    let mut failures = 0;
    for kind in [Kind::Fail, Kind::Hang] {
        for points in (0..).step_by(3) {
            let mut tested = Tested::new(&engine, two.clone());
            let sequences = [tested.open(), tested.open()];
            let request = |number| sampled(text(number, 40), 5).log_probs(Some(1));
            let ids =
                [1, 2].map(|number| tested.submit(sequences[number as usize - 1], request(number)));
            let mut ends: BTreeMap<RequestId, Option<Error>> = BTreeMap::new();
            interrupt::arm(points, kind);
            while tested.scheduler.has_work() {
                // An error that is returned is one that requests ended with.
                let _ = drive(tested.scheduler.step(Budget::default()));
                let _ = drive(tested.scheduler.wait());
                while let Some(event) = tested.scheduler.next_event() {
                    let (id, error) = match event {
                        Event::Piece { request, .. } => {
                            assert_eq!(ends.get(&request), None, "{request:?} goes on");
                            continue;
                        }
                        Event::Finished { request, .. } => (request, None),
                        Event::Failed { request, error } => (request, Some(error)),
                    };
                    assert_eq!(ends.insert(id, error), None, "{id:?} ends twice");
                }
            }
            let has_struck = interrupt::disarm();
            assert_eq!(ends.len(), 2);
            // Sequences go on from the tokens that they have, where there is memory for pages.
            for (id, sequence) in ids.into_iter().zip(sequences) {
                if ends[&id].is_none() || tested.scheduler.core.refused.is_some() {
                    continue;
                }
                failures += 1;
                let tokens = tested.scheduler.tokens(sequence).expect("open");
                let next = tested.submit(sequence, sampled(text(3, 5), 5));
                let fresh = tested.ask(sampled([tokens, text(3, 5)].concat(), 5));
                tested.finish();
                assert_eq!(tested.replies[&next], tested.replies[&fresh]);
            }
            if !has_struck {
                break;
            }
        }
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn a_reply_is_computed_ahead_as_far_as_its_end_is_not_near() {
    let ahead = |max_tokens: usize, context: usize, penalty: f32| {
        let mut tested = books::Tested::new(Limits {
            steps_in_flight: 2,
            context,
            ..LIMITS
        });
        let sequence = tested.open();
        let mut request = books::request(books::text(1, 30), max_tokens);
        request.sampling = request.sampling.repetition_penalty(penalty);
        let id = tested.submit(sequence, request).expect("room");
        tested.finish();
        (tested.device.computed_ahead, tested.replies[&id].0.len())
    };
    // Each token but the last is computed.
    assert_eq!(ahead(0, 2048, 1.0), (0, 0));
    assert_eq!(ahead(1, 2048, 1.0), (0, 1));
    assert_eq!(ahead(2, 2048, 1.0), (1, 2));
    assert_eq!(ahead(100, 2048, 1.0), (99, 100));
    assert_eq!(ahead(100, 50, 1.0), (19, 20));
    assert_eq!(ahead(100, 2048, 1.1), (0, 100));
}

/// A reply with a low priority that is always in flight does not keep its pages from another one.
#[test]
fn a_reply_that_needs_a_page_gets_it_from_one_in_flight() {
    let mut tested = books::Tested::new(Limits {
        steps_in_flight: 2,
        pages: 4,
        ..LIMITS
    });
    let first = tested.open();
    let mut penalized = books::request(books::text(1, 60), 160);
    penalized.sampling = penalized.sampling.repetition_penalty(1.1);
    let first = tested.submit(first, penalized).expect("room");
    let second = tested.open();
    let second = tested
        .submit(second, books::request(books::text(2, 30), 200))
        .expect("room");
    while tested.replies[&first].1.is_none() {
        tested.step();
        assert_eq!(tested.replies[&second].1, None);
    }
    tested.finish();
    let lens = [first, second].map(|id| tested.replies[&id].0.len());
    assert_eq!(lens, [160, 200]);
}

/// The pages of a prompt without a reply stay where they are until its pass is submitted.
#[test]
fn a_prompt_without_a_reply_leaves_the_gpu_after_its_step() {
    for steps_in_flight in [1, 2] {
        let mut tested = books::Tested::new(Limits {
            steps_in_flight,
            pages: 10,
            host_pages: 20,
            prompt_tokens: 3,
            ..LIMITS
        });
        tested.core.pages.grow_to(10);
        let submit = |tested: &mut books::Tested, len, max_tokens| {
            let sequence = tested.open();
            let request = books::request(books::text(1, len), max_tokens);
            tested.submit(sequence, request).expect("room");
        };
        submit(&mut tested, 1, 200);
        tested.step();
        // The first prompt's last token is computed in the step in which the second one needs its
        // third page. The reply has taken that.
        submit(&mut tested, 258, 0);
        submit(&mut tested, 140, 4);
        tested.finish();
    }
}
