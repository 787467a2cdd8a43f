//! What is done to a session, and where it is interrupted.

use super::*;

/// An operation on a session.
#[derive(Clone, Debug)]
pub(super) enum Op {
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
pub(super) enum Damage {
    None,
    /// After so many of a hundred parts.
    Cut(usize),
    Flipped(usize),
    /// The caller stops it.
    Stopped,
}

/// An operation, and at which point of it the runtime is interrupted.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) op: Op,
    pub(super) interruption: Option<(u32, Kind)>,
}

pub(super) fn actions() -> impl Strategy<Value = Vec<Action>> {
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
pub(super) fn samplings() -> [Sampling; 4] {
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

pub(super) fn text(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32)
        .map(|i| {
            seed.wrapping_add(i)
                .wrapping_mul(2_654_435_761)
                .rotate_left(9)
                % VOCAB
        })
        .collect()
}
