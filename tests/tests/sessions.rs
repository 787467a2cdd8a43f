//! Several sessions of one engine, and replies that are dropped: no session disturbs another.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use godwit::low_level::Synthetic;
use godwit::{EngineOptions, Sampling, Session};
use godwit_tests::model::{engine, session};
use pollster::block_on;

/// Tokens of each reply.
const REPLY: usize = 12;

fn prompt(seed: u32) -> Vec<u32> {
    (0..70)
        .map(|i: u32| i.wrapping_mul(i + seed) % 509)
        .collect()
}

fn samplings() -> [Sampling; 2] {
    let sampled = Sampling::default().temperature(0.8).seed(7);
    [Sampling::greedy(), sampled]
}

fn next(session: &mut Session, sampling: &Sampling) -> u32 {
    block_on(session.next(sampling)).expect("a token")
}

/// The reply of a session that has the engine for itself.
fn alone(model: &godwit::Model, seed: u32, sampling: &Sampling) -> Vec<u32> {
    let mut session = session(&engine(model, &EngineOptions::default(), false));
    block_on(session.prefill(&prompt(seed), &mut godwit::unwatched)).expect("it fits");
    (0..REPLY).map(|_| next(&mut session, sampling)).collect()
}

fn model() -> godwit::Model {
    let shape: Synthetic = "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    shape.model().expect("a model")
}

/// Two sessions take turns, token by token, and a prompt of one comes in the middle of the other's
/// reply. Each gives the tokens that it gives alone.
#[test]
fn interleaved_sessions_agree_with_each_alone() {
    let model = model();
    for sampling in samplings() {
        let engine = engine(&model, &EngineOptions::default(), false);
        let (mut first, mut second) = (session(&engine), session(&engine));
        block_on(first.prefill(&prompt(3), &mut godwit::unwatched)).expect("it fits");
        let mut replies = [Vec::new(), Vec::new()];
        for _ in 0..REPLY / 2 {
            replies[0].push(next(&mut first, &sampling));
        }
        block_on(second.prefill(&prompt(11), &mut godwit::unwatched)).expect("it fits");
        for step in 0..REPLY {
            if step < REPLY - REPLY / 2 {
                replies[0].push(next(&mut first, &sampling));
            }
            replies[1].push(next(&mut second, &sampling));
        }
        assert_eq!(replies[0], alone(&model, 3, &sampling), "{sampling:?}");
        assert_eq!(replies[1], alone(&model, 11, &sampling), "{sampling:?}");
    }
}

/// A call of `next` that is dropped while it waits loses no token and doubles none, at any step.
#[test]
fn dropped_calls_lose_nothing() {
    let model = model();
    for sampling in samplings() {
        let mut session = session(&engine(&model, &EngineOptions::default(), false));
        block_on(session.prefill(&prompt(5), &mut godwit::unwatched)).expect("it fits");
        let mut reply = Vec::new();
        while reply.len() < REPLY {
            let mut context = Context::from_waker(Waker::noop());
            let polled = pin!(session.next(&sampling)).poll(&mut context);
            match polled {
                std::task::Poll::Ready(token) => reply.push(token.expect("a token")),
                std::task::Poll::Pending => reply.push(next(&mut session, &sampling)),
            }
        }
        assert_eq!(reply, alone(&model, 5, &sampling), "{sampling:?}");
    }
}
