//! Sessions against a model of them: whatever was done before, failed or was dropped, a session
//! chooses the tokens that a fresh session chooses after the same text.

mod actions;
mod engines;
mod tested;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use godwit_shaders::capabilities::Tuning;
use pollster::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::interrupt::{self, Kind};
use crate::low_level::Synthetic;
use crate::quantize::InputSquares;
use crate::{ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, Model, Sampling, Session};

use actions::{Action, Damage, Op, actions, samplings, text};
use engines::{Engines, SETUPS};
use tested::{Outcome, Tested};

const CONTEXT: u32 = 400;

const VOCAB: u32 = 512;

fn run(engines: &Engines, actions: &[Action]) -> Result<usize, TestCaseError> {
    let mut tested = Tested::new(engines);
    for action in actions {
        let done = tested.act(action);
        interrupt::disarm();
        done?;
    }
    if tested.tokens.is_empty() {
        tested.prefill(&text(5, 1), 9)?;
    }
    tested.next(&Sampling::greedy(), 4)?;
    Ok(tested.compared)
}

#[test]
fn sessions_agree_with_fresh_ones() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8);
    for setup in SETUPS {
        let engines = Engines::new(setup);
        // The same cases at each run.
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let config = Config {
            cases,
            max_shrink_iters: 200,
            failure_persistence: None,
            ..Config::default()
        };
        let compared = Cell::new(0);
        let result = TestRunner::new_with_rng(config, rng).run(&actions(), |actions| {
            compared.set(compared.get() + run(&engines, &actions)?);
            Ok(())
        });
        let error = result.err().map(|error| error.to_string());
        assert!(error.is_none(), "{setup:?}: {}", error.unwrap_or_default());
        assert!(
            compared.get() > 10 * cases as usize,
            "{setup:?}: {} tokens",
            compared.get()
        );
    }
}

/// Operations that are interrupted at each of their points in turn, and what comes before them.
fn interrupted() -> Vec<(&'static str, Vec<Op>, Op)> {
    let prefill = |count, seed| Op::Prefill {
        count,
        seed,
        passes: 9,
    };
    let next = |count| Op::Next { sampling: 0, count };
    let penalised = |count| Op::Next { sampling: 3, count };
    let resume = Op::Resume {
        file: 0,
        damage: Damage::None,
    };
    vec![
        (
            "a prompt that grows the cache, with tokens in flight",
            vec![prefill(50, 1), next(4)],
            prefill(100, 2),
        ),
        ("the first token", vec![prefill(50, 1)], next(1)),
        (
            "steps ahead, where the cache grows",
            vec![prefill(53, 1), next(7)],
            next(1),
        ),
        (
            "the last token's logits",
            vec![prefill(90, 1), next(4), Op::Truncate(90)],
            Op::Logits,
        ),
        (
            "a tail block that the rings lack",
            vec![prefill(250, 1), Op::Truncate(20)],
            prefill(10, 2),
        ),
        (
            "the logits of a tail block that the rings lack",
            vec![prefill(250, 1), Op::Truncate(20)],
            next(1),
        ),
        (
            "scoring, with tokens in flight",
            vec![prefill(50, 1), next(4)],
            Op::Score { count: 30, seed: 2 },
        ),
        (
            // The file's first token is the 33rd: those in flight lie where it is written.
            "resuming behind the last token, with tokens in flight",
            vec![
                prefill(24, 1),
                next(8),
                prefill(40, 2),
                Op::Save(45),
                Op::Truncate(34),
                next(8),
            ],
            resume,
        ),
        // Where positions are spilled, the pass for a token is interrupted after the token was
        // chosen.
        (
            "a token chosen with penalties",
            vec![prefill(300, 1), penalised(2)],
            penalised(1),
        ),
        ("noise", vec![prefill(70, 1), next(4)], Op::Noise(100)),
        (
            "measuring",
            vec![prefill(50, 1), next(4)],
            Op::Calibrate { count: 60, seed: 2 },
        ),
    ]
}

#[test]
fn sessions_are_interrupted_at_every_point() {
    for setup in [SETUPS[1], SETUPS[4]] {
        let engines = Engines::new(setup);
        for (what, before, op) in interrupted() {
            let mut points = 0;
            // All of the first ones; of many, that come from segments that leave the GPU, every
            // third.
            for point in (0..12).chain((12..).step_by(3)) {
                let mut struck = false;
                for kind in [Kind::Fail, Kind::Hang] {
                    let mut tested = Tested::new(&engines);
                    let good = |outcome: Outcome| {
                        assert!(
                            outcome.is_ok(),
                            "{setup:?}: {what}, {kind:?} at point {point}: {outcome:?}"
                        );
                    };
                    for op in &before {
                        good(tested.act(&Action {
                            op: op.clone(),
                            interruption: None,
                        }));
                    }
                    good(tested.act(&Action {
                        op: op.clone(),
                        interruption: Some((point, kind)),
                    }));
                    struck |= std::mem::take(&mut tested.struck);
                    if tested.tokens.is_empty() {
                        good(tested.prefill(&text(5, 1), 9));
                    }
                    if let Op::Next { sampling, .. } = op {
                        good(tested.next(&samplings()[sampling], 2));
                    }
                    // As many as were in flight, and as many again.
                    good(tested.next(&Sampling::greedy(), 12));
                }
                points += u32::from(struck);
                if !struck {
                    break;
                }
            }
            assert!(points > 1, "{setup:?}: {what} has {points} points");
        }
    }
}
