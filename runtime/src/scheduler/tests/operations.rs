//! Random operations on a scheduler's books.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::core::Limits;
use super::super::sequence::SequenceId;
use super::books::{LIMITS, Tested, request, text};
use crate::speculation::Speculation;

#[derive(Clone, Debug)]
pub enum Action {
    Open,
    Fork {
        of: usize,
        at: f64,
    },
    Submit {
        to: usize,
        number: u32,
        len: usize,
        max_tokens: usize,
        drafted: u32,
    },
    Truncate {
        of: usize,
        at: f64,
    },
    Cancel {
        which: usize,
    },
    Close {
        which: usize,
    },
    Step,
}

fn submit() -> impl Strategy<Value = Action> {
    let parts = (0..9_usize, 0..3_u32, 0..300_usize, 0..90_usize, 0..8_u32);
    parts.prop_map(|(to, number, len, max_tokens, drafted)| Action::Submit {
        to,
        number,
        len,
        max_tokens,
        drafted,
    })
}

pub fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => Just(Action::Open),
        2 => (0..9_usize, 0.0..=1.0).prop_map(|(of, at)| Action::Fork { of, at }),
        1 => (0..9_usize, 0.0..=1.0).prop_map(|(of, at)| Action::Truncate { of, at }),
        5 => submit(),
        1 => (0..9_usize).prop_map(|which| Action::Cancel { which }),
        1 => (0..9_usize).prop_map(|which| Action::Close { which }),
        20 => Just(Action::Step),
    ]
}

impl Tested {
    pub fn act(&mut self, action: &Action) {
        let pick =
            |which: usize, all: &[SequenceId]| (!all.is_empty()).then(|| all[which % all.len()]);
        match *action {
            Action::Open => {
                if self.sequences.len() < 9 {
                    self.open();
                }
            }
            Action::Fork { of, at } => {
                if let Some(of) = pick(of, &self.sequences).filter(|_| self.sequences.len() < 9) {
                    let len = self.core.sequence(of).expect("open").len();
                    let fork = self
                        .core
                        .fork(of, (at * len as f64) as usize)
                        .expect("room");
                    self.sequences.push(fork);
                }
            }
            Action::Submit {
                to,
                number,
                len,
                max_tokens,
                drafted,
            } => {
                if let Some(to) = pick(to, &self.sequences) {
                    // No room, nothing to continue from, or too many wait.
                    let speculation = match drafted {
                        0 => Speculation::Off,
                        1 => Speculation::Auto,
                        _ => Speculation::Tokens(drafted),
                    };
                    let request = request(text(number, len), max_tokens);
                    let _ = self.submit(to, request.speculation(speculation));
                }
            }
            Action::Truncate { of, at } => {
                if let Some(of) = pick(of, &self.sequences) {
                    let len = self.core.sequence(of).expect("open").len();
                    let kept = (at * len as f64) as usize;
                    self.core.truncate(of, kept).expect("open");
                    self.take_events(&mut HashMap::new());
                    assert_eq!(self.core.sequence(of).expect("open").len(), kept);
                }
            }
            Action::Cancel { which } => {
                let ids: Vec<_> = self.core.requests.keys().copied().collect();
                if let Some(&id) = ids.get(which % ids.len().max(1)) {
                    self.core.cancel(id);
                    self.take_events(&mut HashMap::new());
                }
            }
            Action::Close { which } => {
                if let Some(id) = pick(which, &self.sequences) {
                    self.sequences.retain(|&open| open != id);
                    self.core.close(id).expect("open");
                    self.take_events(&mut HashMap::new());
                }
            }
            Action::Step => self.step(),
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    /// 10,000 operations in all.
    #[test]
    fn no_page_is_lost_and_every_request_ends_once(
        actions in prop::collection::vec(action(), 200),
        host_pages in 0..20_usize,
        deterministic: bool,
    ) {
        let limits = Limits { context: 700, host_pages, deterministic, ..LIMITS };
        let mut tested = Tested::new(limits);
        for action in &actions {
            tested.act(action);
        }
        tested.finish();
        prop_assert!(tested.replies.values().all(|(_, end)| end.is_some()));
        for sequence in std::mem::take(&mut tested.sequences) {
            tested.core.close(sequence).expect("open");
        }
        tested.step();
        prop_assert_eq!((tested.core.pages.in_use(), tested.core.on_host), (0, 0));
    }
}
