//! How the share of the budget and the expected times follow what slices took.

use super::*;

const KIND: Kind = Kind {
    kernel: 1,
    cost: 20,
    tokens: 0,
};

/// A slice of one kind of dispatch, with a budget of 10 ms.
fn slice(slices: &Slices, nominal: f64) -> Slice {
    Slice {
        budget: Duration::from_millis(10),
        dispatches: vec![(KIND, nominal)],
        expected: nominal * slices.scale(KIND),
        left: 0.0,
    }
}

#[test]
fn the_share_grows_by_a_twentieth_and_shrinks_at_once() {
    let mut slices = Slices::new();
    let of = slice(&slices, 1e-3);
    slices.learn(&of, 5e-3, false);
    assert!((slices.share - 1.05 * FIRST_SHARE).abs() < 1e-9);
    slices.miss();
    assert!((slices.share - 0.525 * FIRST_SHARE).abs() < 1e-9);
    let before = slices.share;
    // What a late slice took was halved for already.
    slices.learn(&of, 50e-3, true);
    assert_eq!(slices.share, before);
    slices.learn(&of, 12e-3, false);
    assert!((slices.share - 0.9 * before).abs() < 1e-9);
    (0..1000).for_each(|_| slices.learn(&of, 1e-3, false));
    assert_eq!(slices.share, MOST_SHARE);
    (0..100).for_each(|_| slices.miss());
    assert_eq!(slices.share, LEAST_SHARE);
}

#[test]
fn expected_times_follow_what_was_measured() {
    for seconds in [0.2e-3, 1e-3, 7e-3] {
        let mut slices = Slices::new();
        for _ in 0..60 {
            let of = slice(&slices, 1e-3);
            slices.learn(&of, seconds, false);
        }
        let expected = 1e-3 * slices.scale(KIND);
        assert!(
            (expected / seconds - 1.0).abs() < 0.02,
            "{expected} of {seconds}"
        );
        // One slice that waited for something else says little.
        let of = slice(&slices, 1e-3);
        slices.learn(&of, 100.0 * seconds, false);
        assert!(1e-3 * slices.scale(KIND) < 1.6 * seconds);
    }
}

#[test]
fn a_slice_has_the_time_that_it_took_once() {
    let mut slices = Slices::new();
    let of = slice(&slices, 1e-3);
    slices.learn(&of, 2e-3, true);
    let time = slices.take_time().expect("it is done");
    assert_eq!(time.gpu, Duration::from_millis(2));
    assert_eq!((time.budget, time.is_late), (of.budget, true));
    assert_eq!(slices.take_time(), None);
}
