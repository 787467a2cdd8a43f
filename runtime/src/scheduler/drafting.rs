//! What the draft model computes for the replies of another: which of its sequences follows which,
//! and which guesses are being made.
//!
//! Both models have a [`Core`]. The *target* is the one whose replies callers see.

use std::collections::BTreeMap;

use godwit_shaders::PAGE;

use super::core::Core;
use super::draft::Drafter;
use super::request::{Event, Request, RequestId};
use super::sequence::{Sequence, SequenceId, SequenceOptions};
use crate::error::Error;
use crate::speculation::keep_known;

/// Tokens that the draft model may lack and be asked for guesses all the same: it reads them in one
/// short pass. Where it lacks more, it reads them while the reply goes on without guesses.
const NEAR: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Drafting {
    /// The draft model's sequence for each of the target's that had one so far.
    sequences: BTreeMap<SequenceId, SequenceId>,
    /// The draft model's requests that have not ended.
    asked: BTreeMap<RequestId, Asked>,
}

/// A request to the draft model.
#[derive(Debug)]
struct Asked {
    /// The target's request that it is for, and the sequence of that.
    of: RequestId,
    sequence: SequenceId,
    /// The guesses so far. None: it only reads what the target has read.
    guesses: Option<Vec<u32>>,
}

impl Drafting {
    /// Gives the guesses that have been made to the target's requests.
    pub fn take(&mut self, target: &mut Core, draft: &mut Core) {
        let vocab = target.model.config().vocab;
        while let Some(event) = draft.events.pop_front() {
            let (id, failed) = match event {
                Event::Piece { request, piece, .. } => {
                    let guesses = self
                        .asked
                        .get_mut(&request)
                        .and_then(|asked| asked.guesses.as_mut());
                    if let Some(guesses) = guesses {
                        guesses.extend(piece.token);
                    }
                    continue;
                }
                Event::Finished { request, .. } => (request, None),
                Event::Failed { request, error } => (request, Some(error)),
            };
            let Some(asked) = self.asked.remove(&id) else {
                continue;
            };
            let Some(drafter) = drafter(target, asked.of) else {
                continue;
            };
            match (failed, asked.guesses) {
                (Some(error), _) if !matches!(error, Error::Stopped) => {
                    tracing::debug!("a reply goes on without the draft model: {error}");
                    drafter.give_up();
                }
                (_, Some(mut guesses)) => {
                    keep_known(&mut guesses, vocab);
                    drafter.give(guesses);
                }
                (_, None) => {}
            }
        }
    }

    /// Asks the draft model for guesses, for each of the target's replies that has a token to
    /// compute and wants some.
    pub fn ask(&mut self, target: &mut Core, draft: &mut Core) {
        self.release(target, draft);
        for id in target.ready(true) {
            self.ask_for(id, target, draft);
        }
    }

    fn ask_for(&mut self, id: RequestId, target: &mut Core, draft: &mut Core) {
        let most = target.most_guesses(id);
        let (Some(ongoing), sequences) = (target.requests.get_mut(&id), &target.sequences) else {
            return;
        };
        let of = ongoing.sequence;
        let (Some(sequence), Some(drafter)) = (sequences.get(&of), &mut ongoing.drafter) else {
            return;
        };
        let [next] = sequence.pending[..] else {
            return;
        };
        let wanted = drafter.wanted_of_model(&sequence.tokens, next, most);
        // It may still be reading.
        if wanted == 0 || self.asked.values().any(|asked| asked.sequence == of) {
            return;
        }
        let follower = *self
            .sequences
            .entry(of)
            .or_insert_with(|| draft.open_like(sequence));
        let (missing, kept) = match draft.sequences.get(&follower) {
            Some(follower) => missing(sequence, follower),
            None => return,
        };
        let is_near = missing.len() <= NEAR;
        let request = Request::new(missing)
            .sampling(ongoing.sampling.clone())
            .max_tokens(if is_near { wanted } else { 0 });
        let submitted = draft
            .truncate(follower, kept)
            .and_then(|()| draft.submit(follower, request));
        match submitted {
            Ok(asked) => {
                if is_near {
                    drafter.expect_guesses();
                }
                let asked_for = Asked {
                    of: id,
                    sequence: of,
                    guesses: is_near.then(Vec::new),
                };
                self.asked.insert(asked, asked_for);
            }
            Err(error) => {
                tracing::debug!("a reply goes on without the draft model: {error}");
                drafter.give_up();
            }
        }
    }

    /// Ends what the draft model does for requests that have ended and sequences that are closed.
    pub fn release(&mut self, target: &Core, draft: &mut Core) {
        self.asked.retain(|&asked, asked_for| {
            let is_wanted = target.requests.contains_key(&asked_for.of);
            if !is_wanted {
                draft.cancel(asked);
            }
            is_wanted
        });
        self.sequences.retain(|of, &mut follower| {
            let is_open = target.sequences.contains_key(of);
            if !is_open && let Err(error) = draft.close(follower) {
                tracing::debug!("a sequence of the draft model: {error}");
            }
            is_open
        });
    }

    /// The draft model is gone: requests go on without it.
    pub fn give_up(target: &mut Core) {
        target.draft_cost = None;
        let requests = target.requests.values_mut();
        requests
            .filter_map(|one| one.drafter.as_mut())
            .for_each(Drafter::give_up);
    }
}

fn drafter(target: &mut Core, id: RequestId) -> Option<&mut Drafter> {
    target.requests.get_mut(&id)?.drafter.as_mut()
}

/// The tokens that a sequence of the draft model lacks, one at least, and the number of those
/// before them.
fn missing(target: &Sequence, follower: &Sequence) -> (Vec<u32>, usize) {
    // The hash of a prefix says that all tokens of its pages are the same.
    let pages = target.prefixes.len().min(follower.prefixes.len());
    let same_pages = (0..pages)
        .rev()
        .find(|&pages| target.prefixes[pages] == follower.prefixes[pages]);
    let first = same_pages.unwrap_or(0) * PAGE as usize;
    let [ours, theirs] = [target, follower].map(|sequence| {
        let computed = sequence.tokens[first..].iter();
        computed.chain(&sequence.pending)
    });
    let same = ours.clone().zip(theirs).take_while(|(a, b)| a == b).count();
    let kept = (first + same).min(target.len().saturating_sub(1));
    (ours.skip(kept - first).copied().collect(), kept)
}

impl Core {
    /// A new sequence with the priority and the salt of another scheduler's.
    fn open_like(&mut self, other: &Sequence) -> SequenceId {
        let id = SequenceId(self.next_id());
        let sequence = Sequence {
            priority: other.priority,
            prefixes: vec![other.prefixes[0]],
            ..Sequence::new(&SequenceOptions::default())
        };
        self.sequences.insert(id, sequence);
        id
    }

    /// How many guesses of the draft model a request has use for: they fit, they are not more than
    /// its share of a pass, and the reply goes on for so long.
    fn most_guesses(&self, id: RequestId) -> usize {
        let Some(ongoing) = self.requests.get(&id) else {
            return 0;
        };
        let len = self
            .sequences
            .get(&ongoing.sequence)
            .map_or(0, Sequence::len);
        let share = self.limits.decode_rows / self.running().count().max(1);
        let last = share.min(ongoing.reply.tokens_left()).saturating_sub(1);
        last.min(self.guess_room(&ongoing.sampling, len))
    }

    /// Leaves out, of the replies that have a token to compute, those whose guesses are coming, and
    /// those whose guesses wait for others': one pass over all of them reads the weights once.
    pub fn hold_for_guesses(&self, decodes: &mut Vec<RequestId>) {
        let expects = |drafter: &Drafter| drafter.expects_guesses();
        let mut drafters = self
            .requests
            .values()
            .filter_map(|one| one.drafter.as_ref());
        if drafters.any(expects) {
            decodes.retain(|id| {
                let drafter = self.requests.get(id).and_then(|one| one.drafter.as_ref());
                drafter.is_none_or(|drafter| !expects(drafter) && !drafter.has_guesses())
            });
        }
    }
}
