//! Replies by speculation: guessed tokens are computed together with the one that is certain.

use std::collections::VecDeque;

use godwit_shaders::kernels::sample::NO_TOKEN;
use web_time::Instant;

use super::Generation;
use crate::error::Error;
use crate::sampling::Sampling;
use crate::session::Session;
use crate::speculation::{FURTHER, Lookup, Pace, Speculated, Speculation, accepted, keep_known};

/// The state of a reply's speculation.
pub(super) struct Speculator {
    /// The session's tokens, and the one that is pending.
    lookup: Lookup,
    pace: Pace,
    /// A token that was chosen, and is not in the session.
    pending: Option<u32>,
    /// Tokens after the session's that are computed. They become the session's one by one, as the
    /// caller hears of them.
    ready: VecDeque<u32>,
    pub counts: Speculated,
}

impl Speculator {
    pub fn new(kind: Speculation, is_cpu: bool) -> Option<Self> {
        let further = FURTHER[usize::from(!is_cpu)];
        (kind != Speculation::Off).then(|| Self {
            lookup: Lookup::default(),
            pace: Pace::new(kind, further),
            pending: None,
            ready: VecDeque::new(),
            counts: Speculated::default(),
        })
    }

    /// The session's tokens are about to become others.
    pub fn start_over(&mut self) {
        self.lookup = Lookup::default();
        self.pending = None;
    }

    /// Whether any token would be guessed now.
    fn would_guess(&mut self, has_draft: bool) -> bool {
        match has_draft {
            true => {
                let would = self.pace.tokens(CERTAIN) > 0;
                if !would {
                    self.pace.record(CERTAIN, 0, 0);
                }
                would
            }
            false => !self.guess().1.is_empty(),
        }
    }

    /// How many of the newest tokens agree with an earlier place, and what followed there; as many
    /// tokens as pays.
    fn guess(&mut self) -> (usize, Vec<u32>) {
        let Some(place) = self.lookup.find() else {
            return (0, Vec::new());
        };
        let wanted = self.pace.tokens(place.agreeing);
        if wanted == 0 {
            self.pace.record(place.agreeing, 0, 0);
        }
        (place.agreeing, self.lookup.guess(place, wanted))
    }
}

/// Guesses of a model count as those of a place that is trusted.
const CERTAIN: usize = usize::MAX;

/// The tokens that another model would go on with, chosen in the same way: where both choose at
/// random, by the same random numbers. Where it fails, there are fewer guesses.
async fn guess(draft: &mut Session, tokens: &[u32], len: usize, sampling: &Sampling) -> Vec<u32> {
    let mut guessed = Vec::new();
    if len == 0 || tokens.len() + len > draft.context() as usize {
        return guessed;
    }
    if let Err(error) = draft.prefill_to(tokens, &mut crate::unwatched).await {
        tracing::debug!("the draft model guesses nothing: {error}");
        return guessed;
    }
    while guessed.len() < len {
        let is_last = guessed.len() + 1 == len;
        let token = match is_last {
            true => draft.choose(sampling).await,
            false => draft.next(sampling).await,
        };
        match token {
            Ok(token) => guessed.push(token),
            Err(error) => {
                tracing::debug!("the draft model guesses no more: {error}");
                break;
            }
        }
    }
    guessed
}

impl Generation<'_> {
    /// The next token, which is in the session.
    pub(super) async fn next_token(&mut self) -> Result<u32, Error> {
        let Some(speculator) = &mut self.speculator else {
            return self.session.next(&self.sampling).await;
        };
        if let Some(token) = speculator.ready.pop_front() {
            self.session.append_computed(token);
            return Ok(token);
        }
        if speculator.pending.is_some() {
            // Where an earlier call ended in its middle, guesses may be left in the session.
            self.session.truncate(speculator.lookup.len() - 1);
        }
        if speculator.lookup.len() != self.session.tokens().len() + speculator.pending.iter().len()
        {
            speculator.lookup = Lookup::new(self.session.tokens());
            speculator.pending = None;
        }
        if speculator.pending.is_none() && !speculator.would_guess(self.draft.is_some()) {
            let begin = Instant::now();
            let token = self.session.next(&self.sampling).await?;
            let seconds = begin.elapsed().as_secs_f64();
            speculator.pace.record_seconds(0, seconds);
            speculator.lookup.push(token);
            return Ok(token);
        }
        let pending = match speculator.pending {
            Some(pending) => pending,
            None => {
                let token = self.session.choose(&self.sampling).await?;
                speculator.pending = Some(token);
                speculator.lookup.push(token);
                token
            }
        };
        let begin = Instant::now();
        let (agreeing, mut drafted) = match &mut self.draft {
            Some(draft) => {
                let tokens = speculator.pace.tokens(CERTAIN);
                (
                    CERTAIN,
                    guess(draft, speculator.lookup.tokens(), tokens, &self.sampling).await,
                )
            }
            None => speculator.guess(),
        };
        keep_known(&mut drafted, self.model.config().vocab);
        let room = self.session.context() as usize - self.session.tokens().len();
        drafted.truncate(room.saturating_sub(1));
        if drafted.is_empty() || self.model.tokenizer().is_end(pending) {
            self.session
                .prefill(&[pending], &mut crate::unwatched)
                .await?;
            speculator.pending = None;
            return Ok(pending);
        }
        let before = self.session.tokens().len();
        let tokens = [&[pending], &drafted[..]].concat();
        let chosen = match self
            .session
            .choose_after_each(&tokens, &self.sampling)
            .await
        {
            Ok(chosen) => chosen,
            Err(error) => {
                self.session.truncate(before);
                return Err(error);
            }
        };
        // Not all of them may have fitted one pass.
        drafted.truncate(chosen.len() - 1);
        let right = accepted(&drafted, &chosen);
        if chosen[right] == NO_TOKEN {
            self.session.truncate(before);
            let position = before + right;
            return Err(Error::LogitsNotFinite { position });
        }
        self.session.truncate(before + 1);
        speculator.pace.record(agreeing, drafted.len(), right);
        speculator
            .pace
            .record_seconds(drafted.len(), begin.elapsed().as_secs_f64());
        speculator.counts.drafted += drafted.len();
        speculator.counts.accepted += right;
        for &token in drafted[..right].iter().chain(&chosen[right..=right]) {
            speculator.lookup.push(token);
        }
        speculator.ready.extend(&drafted[..right]);
        speculator.pending = Some(chosen[right]);
        Ok(pending)
    }
}
