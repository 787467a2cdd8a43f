//! The books of a scheduler with a draft model, against two devices that check them.

use proptest::prelude::*;

use super::super::core::{Core, Limits};
use super::super::draft::Drafter;
use super::super::drafting::Drafting;
use super::super::request::{Request, RequestId};
use super::books::{LIMITS, Tested, model, request, text};
use super::fake::Fake;
use super::operations::action;
use crate::generation::FinishReason;
use crate::speculation::{Speculated, Speculation};

/// The draft model's books and device.
pub struct TestedDraft {
    core: Core,
    device: Fake,
    drafting: Drafting,
    /// Tokens that it computed.
    computed: usize,
}

impl Tested {
    /// A scheduler whose draft model guesses one of `wrong` tokens wrong; 0: none.
    fn with_draft(limits: Limits, of_draft: Limits, wrong: u64) -> Self {
        let mut tested = Self::new(limits);
        tested.core.draft_cost = Some(0.1);
        tested.draft = Some(TestedDraft {
            core: Core::new(model(512), of_draft),
            device: Fake::with_wrong(wrong),
            drafting: Drafting::default(),
            computed: 0,
        });
        tested
    }

    /// What a step does first, where there is a draft model.
    pub fn step_draft(&mut self) {
        let Some(draft) = &mut self.draft else {
            return;
        };
        draft.drafting.take(&mut self.core, &mut draft.core);
        draft.drafting.ask(&mut self.core, &mut draft.core);
        let wanted = draft.core.wanted_pages();
        draft.core.pages.grow_to(wanted);
        let plan = draft.core.plan(usize::MAX);
        draft.computed += plan.chunks().map(|chunk| chunk.tokens.len()).sum::<usize>();
        draft.device.submit(&draft.core, &plan);
        for (id, chosen) in draft.device.in_flight.pop_front().unwrap_or_default() {
            let chosen = chosen.into_iter().map(|token| (token, None)).collect();
            draft.core.accept(id, chosen);
        }
        draft.drafting.take(&mut self.core, &mut draft.core);
        assert_eq!(draft.core.check(), Ok(()));
        draft.device.check(&draft.core);
        assert_eq!(draft.device.host_pages(), draft.core.on_host);
    }

    fn draft(&self) -> &TestedDraft {
        self.draft.as_ref().expect("a draft model")
    }

    /// Steps until a request has so many tokens.
    fn step_to(&mut self, id: RequestId, tokens: usize) {
        for _ in 0..1000 {
            if self.replies[&id].0.len() >= tokens {
                return;
            }
            self.step();
        }
        assert_eq!(self.replies[&id], (Vec::new(), None), "it does not go on");
    }
}

fn guessed(prompt: Vec<u32>, max_tokens: usize, guesses: u32) -> Request {
    request(prompt, max_tokens).speculation(Speculation::Tokens(guesses))
}

const ROOMY: Limits = Limits {
    pages: 100,
    ..LIMITS
};

#[test]
fn guesses_of_a_model_that_is_right_all_count() {
    let replies = |wrong: Option<u64>| {
        let mut tested = match wrong {
            Some(wrong) => Tested::with_draft(ROOMY, ROOMY, wrong),
            None => Tested::new(ROOMY),
        };
        let ids: Vec<_> = (0..3)
            .map(|number| {
                let sequence = tested.open();
                let request = guessed(text(number, 70 + 9 * number as usize), 100, 4);
                tested.submit(sequence, request).expect("room")
            })
            .collect();
        tested.finish();
        let speculated = ids.iter().map(|id| tested.usage[id].speculated);
        let (drafted, accepted) = speculated.fold((0, 0), |(drafted, accepted), one| {
            (drafted + one.drafted, accepted + one.accepted)
        });
        let replies: Vec<_> = ids.iter().map(|id| tested.replies[id].0.clone()).collect();
        (replies, drafted, accepted)
    };
    let (without, ..) = replies(None);
    assert!(without.iter().all(|reply| reply.len() == 100));
    let (with, drafted, accepted) = replies(Some(0));
    assert_eq!(with, without);
    // Some guesses come from the text, and not all of those are right.
    assert!(
        accepted > 200 && accepted * 10 > drafted * 8,
        "{accepted} of {drafted}"
    );
    let (with, drafted, accepted) = replies(Some(1));
    assert_eq!(with, without);
    assert!(
        drafted > 100 && accepted * 2 < drafted,
        "{accepted} of {drafted}"
    );
}

/// The first tokens of a reply repeat nothing: guesses are the model's.
#[test]
fn the_model_is_asked_where_the_text_has_no_place_to_guess_from() {
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 0);
    let sequence = tested.open();
    let id = tested
        .submit(sequence, guessed(text(1, 40), 8, 5))
        .expect("room");
    tested.finish();
    // The second token is computed while the model reads the prompt and the first one. Then five
    // are guessed, and the last one follows them.
    let Speculated { drafted, accepted } = tested.usage[&id].speculated;
    assert_eq!((drafted, accepted), (5, 5));
    // The last guess needs no computing.
    assert_eq!(tested.draft().computed, 41 + 1 + 4);
}

#[test]
fn a_place_in_the_text_comes_before_the_model() {
    // The model is wrong always, and the text repeats itself.
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 1);
    let sequence = tested.open();
    let id = tested
        .submit(sequence, guessed(text(1, 40), 300, 5))
        .expect("room");
    tested.finish();
    let speculated = tested.usage[&id].speculated;
    assert!(speculated.accepted > 50, "{speculated:?}");
}

#[test]
fn others_go_on_while_guesses_are_made() {
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 0);
    let [first, second, third] = [(); 3].map(|()| tested.open());
    let plain = tested
        .submit(first, request(text(1, 20), 300))
        .expect("room");
    let others = [second, third].map(|sequence| {
        let request = guessed(text(2, 20), 300, 6);
        tested.submit(sequence, request).expect("room")
    });
    tested.step_to(plain, 1);
    for _ in 0..60 {
        let before = tested.replies[&plain].0.len();
        tested.step();
        assert_eq!(tested.replies[&plain].0.len(), before + 1, "it waits");
    }
    // Six guesses take six steps of the draft model, and count as six tokens.
    for id in others {
        assert!(tested.replies[&id].0.len() > 30, "{id:?}");
    }
}

#[test]
fn replies_use_their_guesses_in_one_pass() {
    let mut tested = Tested::new(ROOMY);
    tested.core.draft_cost = Some(0.1);
    let ids = [0, 3, 3].map(|guesses| {
        let sequence = tested.open();
        let request = match guesses {
            0 => request(text(1, 9), 50),
            _ => guessed(text(2, 9), 50, guesses),
        };
        tested.submit(sequence, request).expect("room")
    });
    tested.step_to(ids[2], 1);
    let [plain, first, second] = ids;
    let drafter = |tested: &mut Tested, id| {
        let ongoing = tested.core.requests.get_mut(&id).expect("it runs");
        ongoing.drafter.take().expect("it guesses")
    };
    let mut drafters = [first, second].map(|id| drafter(&mut tested, id));
    let mut ready = |drafters: [&Drafter; 2]| {
        for (id, drafter) in [first, second].into_iter().zip(drafters) {
            let ongoing = tested.core.requests.get_mut(&id).expect("it runs");
            ongoing.drafter = Some(drafter.clone());
        }
        let mut ready = tested.core.ready(true);
        tested.core.hold_for_guesses(&mut ready);
        ready
    };
    drafters[0].expect_guesses();
    assert_eq!(ready(drafters.each_ref()), [plain, second]);
    drafters[1].expect_guesses();
    assert_eq!(ready(drafters.each_ref()), [plain]);
    // The second one's are still coming.
    drafters[0].give(vec![1, 2]);
    assert_eq!(ready(drafters.each_ref()), [plain]);
    drafters[1].give(Vec::new());
    assert_eq!(ready(drafters.each_ref()), [plain, first, second]);
    drafters[1].expect_guesses();
    drafters[1].give_up();
    assert_eq!(ready(drafters.each_ref()), [plain, first, second]);
}

/// A long prompt that the draft model has still to read delays nobody.
#[test]
fn a_reply_goes_on_while_the_model_reads() {
    let slow = Limits {
        prompt_tokens: 8,
        ..ROOMY
    };
    let mut tested = Tested::with_draft(ROOMY, slow, 0);
    let sequence = tested.open();
    // Each step the model reads eight tokens.
    let id = tested
        .submit(sequence, guessed(text(1, 400), 500, 6))
        .expect("room");
    tested.step_to(id, 1);
    for tokens in 2..30 {
        tested.step();
        assert!(tested.replies[&id].0.len() >= tokens, "it waits");
    }
    tested.finish();
    let speculated = tested.usage[&id].speculated;
    assert!(speculated.accepted > 200, "{speculated:?}");
}

#[test]
fn a_model_without_room_guesses_less() {
    let short = Limits {
        context: 128,
        pages: 2,
        host_pages: 0,
        ..LIMITS
    };
    let mut tested = Tested::with_draft(ROOMY, short, 0);
    let ids = [30, 120, 300].map(|len| {
        let sequence = tested.open();
        tested
            .submit(sequence, guessed(text(1, len), 200, 3))
            .expect("room")
    });
    tested.finish();
    for id in ids {
        let (tokens, end) = &tested.replies[&id];
        assert_eq!((tokens.len(), end), (200, &Some(Ok(FinishReason::Length))));
    }
}

/// The vocabulary of the draft model is padded further.
#[test]
fn guesses_that_the_target_does_not_know_are_left_out() {
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 3);
    if let Some(draft) = &mut tested.draft {
        draft.core = Core::new(model(900), ROOMY);
    }
    let ids: Vec<_> = (0..4)
        .map(|number| {
            let sequence = tested.open();
            let request = guessed(text(number, 30), 200, 7);
            tested.submit(sequence, request).expect("room")
        })
        .collect();
    tested.finish();
    for id in ids {
        assert_eq!(tested.replies[&id].0.len(), 200);
    }
}

#[test]
fn a_fork_and_a_truncated_sequence_have_guesses_of_their_own() {
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 0);
    let first = tested.open();
    let id = tested
        .submit(first, guessed(text(1, 150), 60, 5))
        .expect("room");
    tested.step_to(id, 20);
    let fork = tested.core.fork(first, 140).expect("room");
    tested.sequences.push(fork);
    let forked = tested
        .submit(fork, guessed(text(5, 3), 60, 5))
        .expect("room");
    tested.core.truncate(first, 130).expect("open");
    tested.take_events(&mut std::collections::HashMap::new());
    let again = tested
        .submit(first, guessed(text(6, 3), 60, 5))
        .expect("room");
    tested.finish();
    for id in [forked, again] {
        let speculated = tested.usage[&id].speculated;
        assert_eq!(tested.replies[&id].0.len(), 60);
        assert!(speculated.accepted > 30, "{speculated:?}");
    }
    // The fork found the first sequence's whole pages with the draft model, too.
    assert!(tested.draft().computed < 150 + 12 + 15 + 3 * 90);
    for sequence in std::mem::take(&mut tested.sequences) {
        tested.core.close(sequence).expect("open");
    }
    tested.step();
    let in_use = [&tested.core, &tested.draft().core].map(|core| core.pages.in_use());
    assert_eq!(in_use, [0, 0]);
}

#[test]
fn a_model_that_is_gone_leaves_replies_as_they_are() {
    let mut tested = Tested::with_draft(ROOMY, ROOMY, 0);
    let sequence = tested.open();
    let id = tested
        .submit(sequence, guessed(text(1, 50), 100, 5))
        .expect("room");
    tested.step_to(id, 10);
    let is_coming = |tested: &Tested| {
        let drafter = tested.core.requests[&id].drafter.as_ref();
        drafter.expect("it guesses").expects_guesses()
    };
    while !is_coming(&tested) {
        tested.step();
    }
    tested.draft = None;
    Drafting::give_up(&mut tested.core);
    tested.finish();
    assert_eq!(tested.replies[&id].0.len(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    /// 10,000 operations in all, with draft models that are right always, mostly, seldom, and whose
    /// pools and contexts are smaller than the target's.
    #[test]
    fn no_page_is_lost_in_either_pool(
        actions in prop::collection::vec(action(), 200),
        host_pages in 0..20_usize,
        draft_pages in 1..20_u32,
        draft_context in 100..800_usize,
        wrong in 0..4_u64,
        deterministic: bool,
    ) {
        let limits = Limits { context: 700, host_pages, deterministic, ..LIMITS };
        let of_draft = Limits {
            context: draft_context,
            pages: draft_pages,
            host_pages: host_pages / 2,
            waiting: usize::MAX,
            ..LIMITS
        };
        let mut tested = Tested::with_draft(limits, of_draft, wrong);
        for action in &actions {
            tested.act(action);
        }
        tested.finish();
        prop_assert!(tested.replies.values().all(|(_, end)| end.is_some()));
        for sequence in std::mem::take(&mut tested.sequences) {
            tested.core.close(sequence).expect("open");
        }
        tested.step();
        tested.step();
        let cores = [&tested.core, &tested.draft().core];
        prop_assert_eq!(cores.map(|core| (core.pages.in_use(), core.on_host)), [(0, 0); 2]);
        prop_assert!(tested.draft().core.requests.is_empty());
    }
}
