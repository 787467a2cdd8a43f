//! Sequences whose last tokens are forgotten.

use std::collections::HashMap;

use super::super::core::Limits;
use super::books::{LIMITS, Tested, request, text};
use crate::error::Error;
use crate::generation::FinishReason;

#[test]
fn what_is_left_is_not_computed_again() {
    let mut tested = Tested::new(LIMITS);
    let sequence = tested.open();
    tested
        .submit(sequence, request(text(1, 200), 3))
        .expect("room");
    tested.finish();
    for len in [190, 130, 128, 127, 64, 1] {
        tested.core.truncate(sequence, len).expect("open");
        let left = tested.core.sequence(sequence).expect("open");
        assert_eq!((left.tokens.len(), left.pending.len()), (len, 0), "{len}");
        assert_eq!(left.tokens, text(1, 200)[..len]);
        tested.check();
        // It goes on with other tokens than before, in the same page.
        tested
            .submit(sequence, request(text(2, 5), 2))
            .expect("room");
        tested.finish();
        tested.core.truncate(sequence, len).expect("open");
    }
    // Nothing to forget.
    tested.core.truncate(sequence, 2).expect("open");
    assert_eq!(tested.core.sequence(sequence).expect("open").len(), 1);
    tested.core.truncate(sequence, 0).expect("open");
    assert_eq!(tested.core.pages.in_use(), 0);
}

#[test]
fn pages_of_others_stay_as_they_are() {
    // With room for a copy, and without.
    for pages in [12, 3] {
        let mut tested = Tested::new(Limits { pages, ..LIMITS });
        let first = tested.open();
        tested
            .submit(first, request(text(1, 128), 1))
            .expect("room");
        tested.finish();
        let fork = tested.core.fork(first, 128).expect("room");
        tested.sequences.push(fork);
        if pages == 3 {
            let other = tested.open();
            tested.submit(other, request(text(3, 20), 1)).expect("room");
            tested.finish();
        }
        tested.core.truncate(fork, 100).expect("open");
        let left = tested.core.sequence(fork).expect("open");
        let computed = if pages == 3 { 64 } else { 100 };
        assert_eq!((left.tokens.len(), left.len()), (computed, 100));
        tested.check();
        tested.submit(fork, request(text(2, 9), 4)).expect("room");
        tested.finish();
        assert_eq!(
            tested.core.sequence(first).expect("open").tokens,
            text(1, 128)
        );
    }
}

#[test]
fn requests_end() {
    let mut tested = Tested::new(LIMITS);
    let sequence = tested.open();
    let running = tested
        .submit(sequence, request(text(1, 60), 50))
        .expect("room");
    let waiting = tested
        .submit(sequence, request(text(2, 6), 50))
        .expect("room");
    for _ in 0..20 {
        tested.step();
    }
    let len = tested.core.sequence(sequence).expect("open").len();
    // Nothing is forgotten: they go on.
    tested.core.truncate(sequence, len).expect("open");
    tested.step();
    assert_eq!(tested.core.requests.len(), 2);
    tested.core.truncate(sequence, 62).expect("open");
    tested.take_events(&mut HashMap::new());
    for id in [running, waiting] {
        assert_eq!(tested.replies[&id].1, Some(Ok(FinishReason::Cancelled)));
    }
    tested.core.close(sequence).expect("open");
    let none = tested.core.truncate(sequence, 0);
    assert_eq!(none, Err(Error::NoSuchSequence));
}
