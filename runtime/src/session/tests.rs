//! Sessions against a model of them: whatever was done before, failed or was dropped, a session
//! chooses the tokens that a fresh session chooses after the same text.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use godwit_shaders::capabilities::Tuning;
use pollster::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::interrupt::{self, Kind};
use crate::quantize::InputSquares;
use crate::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, Model, Sampling, Session, Synthetic,
};

const CONTEXT: u32 = 400;
const VOCAB: u32 = 512;

/// How a session's engine differs from that of the fresh ones.
#[derive(Clone, Copy, Debug)]
struct Setup {
    kv: &'static str,
    steps_in_flight: u32,
    /// Positions in a segment of the KV cache.
    segment: Option<u32>,
    /// Positions of the KV cache that the GPU has room for; the others are spilled.
    resident: Option<u64>,
}

const SETUPS: [Setup; 5] = [
    Setup {
        kv: "f16",
        steps_in_flight: 1,
        segment: None,
        resident: None,
    },
    Setup {
        kv: "f16",
        steps_in_flight: 8,
        segment: Some(64),
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 8,
        segment: None,
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 1,
        segment: Some(128),
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 8,
        segment: Some(64),
        resident: Some(224),
    },
];

/// An engine for the sessions under test, and one for fresh sessions.
struct Engines {
    tested: Engine,
    fresh: Engine,
    /// Whether the first has less memory than it may ask for.
    is_small: bool,
}

impl Engines {
    fn new(setup: Setup) -> Self {
        let model = "tiny:q8_0,vocab=512"
            .parse::<Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        let kv = setup.kv.parse().expect("a type");
        let options = EngineOptions {
            context: ContextSize::Tokens(CONTEXT),
            kv,
            ..EngineOptions::default()
        };
        let fresh = load(&model, 1, None, &options);
        let session = block_on(fresh.session()).expect("a session");
        let memory = setup.resident.map(|positions| {
            let fixed = session.memory();
            fixed.weights + fixed.scratch + positions * session.kv_bytes_per_token()
        });
        let options = EngineOptions {
            segment_tokens: setup.segment,
            ..options
        };
        Self {
            tested: load(&model, setup.steps_in_flight, memory, &options),
            fresh,
            is_small: memory.is_some(),
        }
    }
}

fn load(
    model: &Model,
    steps_in_flight: u32,
    memory: Option<u64>,
    options: &EngineOptions,
) -> Engine {
    let gpu = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        memory,
        tuning: Some(Tuning {
            prefill_chunk: 48,
            workgroups: 1,
            steps_in_flight,
            gemv: None,
            gemm: None,
        }),
        // A slow driver is to have as many steps in flight as a fast one.
        in_flight_budget: Some(std::time::Duration::from_secs(60)),
        ..GpuOptions::default()
    };
    let gpu = block_on(Gpu::open(&gpu))
        .expect("a GPU, or the software driver that tests/fetch.sh installs");
    block_on(Engine::load(gpu, model, options, &mut crate::unwatched)).expect("it loads")
}

/// An operation on a session.
#[derive(Clone, Debug)]
enum Op {
    /// Stops after so many passes.
    Prefill {
        count: usize,
        seed: u32,
        passes: usize,
    },
    Next {
        sampling: usize,
        count: usize,
    },
    /// To so many of a hundred parts.
    Truncate(usize),
    /// Keeps so many of a hundred parts, and reads others behind them.
    KeepPrefix {
        parts: usize,
        count: usize,
        seed: u32,
    },
    /// From so many of a hundred parts on.
    Save(usize),
    Resume {
        file: usize,
        damage: Damage,
    },
    Score {
        count: usize,
        seed: u32,
    },
    Logits,
    Plan,
    Calibrate {
        count: usize,
        seed: u32,
    },
    /// So many tokens more. They are forgotten afterwards.
    Noise(usize),
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    /// After so many of a hundred parts.
    Cut(usize),
    Flipped(usize),
    /// The caller stops it.
    Stopped,
}

/// An operation, and at which point of it the runtime is interrupted.
#[derive(Clone, Debug)]
struct Action {
    op: Op,
    interruption: Option<(u32, Kind)>,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let (count, seed) = (1..150_usize, any::<u32>());
    let damage = prop_oneof![
        4 => Just(Damage::None),
        1 => (0..100_usize).prop_map(Damage::Cut),
        1 => (0..100_usize).prop_map(Damage::Flipped),
        1 => Just(Damage::Stopped),
    ];
    let op = prop_oneof![
        5 => (count.clone(), seed, 1..6_usize)
            .prop_map(|(count, seed, passes)| Op::Prefill { count, seed, passes }),
        3 => (1..12_usize, seed).prop_map(|(count, seed)| Op::Prefill { count, seed, passes: 9 }),
        9 => (0..4_usize, 1..12_usize).prop_map(|(sampling, count)| Op::Next { sampling, count }),
        2 => (0..100_usize).prop_map(Op::Truncate),
        2 => (50..=100_usize, 1..60_usize, seed)
            .prop_map(|(parts, count, seed)| Op::KeepPrefix { parts, count, seed }),
        2 => (0..100_usize).prop_map(Op::Save),
        3 => (0..3_usize, damage).prop_map(|(file, damage)| Op::Resume { file, damage }),
        1 => (count.clone(), seed).prop_map(|(count, seed)| Op::Score { count, seed }),
        1 => Just(Op::Logits),
        1 => Just(Op::Plan),
        1 => (count, seed).prop_map(|(count, seed)| Op::Calibrate { count, seed }),
        1 => (1..100_usize).prop_map(Op::Noise),
    ];
    let kind = prop_oneof![Just(Kind::Fail), Just(Kind::Hang)];
    let interruption = prop_oneof![2 => Just(None), 1 => (0..24_u32, kind).prop_map(Some)];
    let action = (op, interruption).prop_map(|(op, interruption)| Action { op, interruption });
    let begin = (40..150_usize, any::<u32>()).prop_map(|(count, seed)| Action {
        op: Op::Prefill {
            count,
            seed,
            passes: 9,
        },
        interruption: None,
    });
    (begin, prop::collection::vec(action, 4..14)).prop_map(|(begin, mut actions)| {
        actions.insert(0, begin);
        actions
    })
}

/// Ways to choose: two that differ in the seed alone, and one that looks back.
fn samplings() -> [Sampling; 4] {
    let warm = Sampling {
        temperature: 1.5,
        top_p: 0.95,
        seed: 7,
        ..Sampling::default()
    };
    [
        Sampling::greedy(),
        warm.clone(),
        Sampling {
            seed: 8,
            ..warm.clone()
        },
        // A bias that counts twice where logits are adjusted twice.
        Sampling {
            repetition_penalty: 1.3,
            logit_bias: (0..64).map(|id| (id, 1.0)).collect(),
            seed: 9,
            ..warm
        },
    ]
}

fn text(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32)
        .map(|i| {
            seed.wrapping_add(i)
                .wrapping_mul(2_654_435_761)
                .rotate_left(9)
                % VOCAB
        })
        .collect()
}

/// Runs a future to its end. None: it was interrupted, and dropped.
fn drive<T>(future: impl Future<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return Some(result);
        }
        if interrupt::has_struck() {
            return None;
        }
        std::thread::yield_now();
    }
}

struct Saved {
    bytes: Vec<u8>,
    tokens: Vec<u32>,
    first: usize,
}

/// A session under test, and what it should hold.
struct Tested<'a> {
    engines: &'a Engines,
    session: Session,
    tokens: Vec<u32>,
    files: Vec<Saved>,
    /// Tokens that were compared.
    compared: usize,
    /// Whether an operation was interrupted.
    struck: bool,
}

type Outcome = Result<(), TestCaseError>;

impl<'a> Tested<'a> {
    fn new(engines: &'a Engines) -> Self {
        let session = block_on(engines.tested.session()).expect("a session");
        Self {
            engines,
            session,
            tokens: Vec::new(),
            files: Vec::new(),
            compared: 0,
            struck: false,
        }
    }

    /// Does something, and compares what is left of it.
    fn act(&mut self, Action { op, interruption }: &Action) -> Outcome {
        if let &Some((points, kind)) = interruption {
            interrupt::arm(points, kind);
        }
        match op {
            &Op::Prefill {
                count,
                seed,
                passes,
            } => self.prefill(&text(count, seed), passes),
            &Op::Next { sampling, count } => self.next(&samplings()[sampling], count),
            &Op::Truncate(parts) => {
                interrupt::disarm();
                self.session.truncate(self.tokens.len() * parts / 100);
                self.tokens.truncate(self.tokens.len() * parts / 100);
                Ok(())
            }
            &Op::KeepPrefix { parts, count, seed } => {
                let mut wanted = self.tokens[..self.tokens.len() * parts / 100].to_vec();
                wanted.extend(text(count, seed));
                let kept = self.session.keep_prefix(&wanted);
                prop_assert!(self.tokens[..kept] == wanted[..kept]);
                self.tokens.truncate(kept);
                self.prefill(&wanted[kept..], 9)
            }
            &Op::Save(parts) => self.save(self.tokens.len() * parts / 100 / 32 * 32),
            &Op::Resume { file, damage } => self.resume(file, damage),
            &Op::Score { count, seed } => {
                let (text, mut count) = (text(count, seed), 0);
                let result = drive(self.session.score(&text, &mut |_, _| count += 1));
                if let Some(Ok(())) = result {
                    prop_assert_eq!(count, text.len());
                }
                self.appended(&text, result)
            }
            Op::Logits => {
                let result = drive(self.session.logits());
                self.unchanged(result.map(|result| result.map(|_| ())))
            }
            Op::Plan => {
                let result = drive(self.session.plan_text());
                self.unchanged(result.map(|result| result.map(|_| ())))
            }
            &Op::Calibrate { count, seed } => {
                let text = text(count, seed);
                let result = drive(self.session.calibrate(&text, &mut InputSquares::default()));
                if let (Some(Err(Error::Gpu(error))), true) = (&result, self.engines.is_small)
                    && error.is_out_of_memory()
                    && !interrupt::has_struck()
                {
                    // The sums may have no room beside the KV cache: then the context stays.
                    interrupt::disarm();
                    prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
                    return Ok(());
                }
                if self.session.tokens() != self.tokens {
                    self.tokens.clear();
                }
                self.appended(&text, result)
            }
            &Op::Noise(count) => {
                let end = self.tokens.len() + count;
                let result = drive(self.session.fill_with_noise(end));
                self.check(&result, count)?;
                let kept = self.tokens.len() / 32 * 32;
                let found = self.session.tokens();
                if found != self.tokens {
                    prop_assert!(
                        found[..kept] == self.tokens[..kept]
                            && found[kept..].iter().all(|&id| id == 0)
                    );
                    self.session.truncate(kept);
                    self.tokens.truncate(kept);
                }
                Ok(())
            }
        }
    }

    /// After something whose result must be good, unless it was interrupted or there is a reason.
    fn check<T: std::fmt::Debug>(
        &mut self,
        result: &Option<Result<T, Error>>,
        added: usize,
    ) -> Outcome {
        let interrupted = interrupt::disarm();
        self.struck |= interrupted;
        match result {
            None | Some(Ok(_) | Err(Error::Stopped)) => {}
            Some(Err(Error::ContextFull { .. })) => {
                prop_assert!(self.tokens.len() + added > CONTEXT as usize)
            }
            Some(Err(Error::Empty)) => prop_assert!(self.tokens.is_empty()),
            Some(Err(error)) => prop_assert!(interrupted, "{error}"),
        }
        Ok(())
    }

    fn unchanged(&mut self, result: Option<Result<(), Error>>) -> Outcome {
        self.check(&result, 1)?;
        prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
        Ok(())
    }

    /// After reading a text: all of it is there, or as much as was done.
    fn appended(&mut self, text: &[u32], result: Option<Result<(), Error>>) -> Outcome {
        self.check(&result, text.len())?;
        let found = self.session.tokens();
        prop_assert!(found.starts_with(&self.tokens), "{result:?}");
        prop_assert!(text.starts_with(&found[self.tokens.len()..]), "{result:?}");
        if let Some(Ok(())) = result {
            prop_assert_eq!(found.len(), self.tokens.len() + text.len());
        }
        self.tokens = found.to_vec();
        Ok(())
    }

    fn prefill(&mut self, text: &[u32], passes: usize) -> Outcome {
        let mut left = passes;
        let result = drive(self.session.prefill(text, &mut |_| {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }));
        self.appended(text, result)
    }

    /// Chooses tokens; a fresh session chooses the same.
    fn next(&mut self, sampling: &Sampling, count: usize) -> Outcome {
        let begin = self.tokens.len();
        for _ in 0..count {
            let result = drive(self.session.next(sampling));
            self.check(&result, 1)?;
            if let Some(Ok(token)) = result {
                self.tokens.push(token);
            }
            prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
        }
        let (text, chosen) = self.tokens.split_at(begin);
        if chosen.is_empty() {
            return Ok(());
        }
        let mut fresh = block_on(self.engines.fresh.session()).expect("a session");
        block_on(fresh.prefill(text, &mut crate::unwatched)).expect("room");
        for (i, &token) in chosen.iter().enumerate() {
            let expected = block_on(fresh.next(sampling)).expect("a token");
            prop_assert_eq!(token, expected, "token {} after {}", i, begin);
        }
        self.compared += chosen.len();
        Ok(())
    }

    fn save(&mut self, first: usize) -> Outcome {
        let (mut bytes, end) = (Vec::new(), self.tokens.len());
        let mut go = crate::unwatched;
        let result =
            drive(
                self.session
                    .save(&mut bytes, first..end, serde_json::Value::Null, &mut go),
            );
        if let Some(Ok(())) = result {
            self.files.push(Saved {
                bytes,
                tokens: self.tokens.clone(),
                first,
            });
        }
        self.unchanged(result)
    }

    fn resume(&mut self, file: usize, damage: Damage) -> Outcome {
        let Some(Saved {
            bytes,
            tokens,
            first,
        }) = self.files.iter().rev().nth(file)
        else {
            interrupt::disarm();
            return Ok(());
        };
        let (mut bytes, first) = (bytes.clone(), *first);
        match damage {
            Damage::None | Damage::Stopped => {}
            Damage::Cut(parts) => bytes.truncate(bytes.len() * parts / 100),
            Damage::Flipped(parts) => {
                let at = bytes.len() * parts / 100;
                bytes[at] ^= 0x10;
            }
        }
        let mut progress = |_| match damage {
            Damage::Stopped => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let result = drive(self.session.resume(&mut &bytes[..], None, &mut progress));
        let interrupted = interrupt::disarm();
        self.struck |= interrupted;
        let found = self.session.tokens();
        match result {
            Some(Ok(_)) => {
                prop_assert!(matches!(damage, Damage::None));
                prop_assert_eq!(found, &tokens[..]);
            }
            result => {
                let follows = self.tokens.len() >= first && self.tokens[..first] == tokens[..first];
                prop_assert!(
                    interrupted || !follows || !matches!(damage, Damage::None),
                    "{result:?}"
                );
                prop_assert!(
                    found == self.tokens || follows && found == &tokens[..first],
                    "{result:?}"
                );
            }
        }
        self.tokens = found.to_vec();
        Ok(())
    }
}

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
