//! The guesses of a request: which tokens come with its next one.

use crate::speculation::{FURTHER, Lookup, Pace, Speculation};

/// Tokens that must agree for a place in the text to be preferred to the draft model.
const TRUSTED: usize = 6;
/// What the pace hears of the draft model's guesses: they are as good as those of a place that is
/// trusted.
const CERTAIN: usize = usize::MAX;

#[derive(Clone, Debug)]
pub(super) struct Drafter {
    /// The sequence's tokens, computed or not.
    lookup: Lookup,
    pace: Pace,
    /// The draft model's part, where there is such a model.
    model: Option<ModelDrafter>,
    /// The guesses that are being computed.
    drafted: Vec<u32>,
    source: Source,
}

/// The source of the guesses that are being computed.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A place in the text where so many tokens agree.
    Text {
        agreeing: usize,
    },
    Model,
}

/// What a request wants, and has, of the draft model.
#[derive(Clone, Debug)]
struct ModelDrafter {
    pace: Pace,
    /// The number of tokens after which `guesses` come, the next one included.
    at: usize,
    guesses: Guesses,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Guesses {
    /// None are wanted, or those that were have been used.
    None,
    /// The draft model is computing them.
    Coming,
    Here(Vec<u32>),
    /// The draft model failed: it is not asked again.
    Failed,
}

impl Drafter {
    /// `draft_cost`: what a guess of the draft model takes, as a share of a pass over one token;
    /// none without a draft model.
    pub fn new(kind: Speculation, is_cpu: bool, draft_cost: Option<f64>) -> Option<Self> {
        let further = FURTHER[usize::from(!is_cpu)];
        (kind != Speculation::Off).then(|| Self {
            lookup: Lookup::default(),
            pace: Pace::new(kind, further),
            model: draft_cost.map(|cost| ModelDrafter {
                pace: Pace::new(kind, further + cost),
                at: 0,
                guesses: Guesses::None,
            }),
            drafted: Vec::new(),
            source: Source::Model,
        })
    }

    /// Guesses what follows a sequence of these computed tokens and the one that is next; at most
    /// `most` tokens. Guesses of the draft model are used if there are any.
    pub fn draft(&mut self, tokens: &[u32], next: u32, most: usize) -> &[u32] {
        self.follow(tokens, next);
        self.drafted = Vec::new();
        if let Some(mut guesses) = self.take_from_model(tokens.len() + 1) {
            guesses.truncate(most);
            self.drafted = guesses;
            self.source = Source::Model;
        } else if let Some(place) = self.lookup.find() {
            let wanted = self.pace.tokens(place.agreeing);
            if wanted == 0 {
                self.pace.record(place.agreeing, 0, 0);
            }
            self.drafted = self.lookup.guess(place, wanted.min(most));
            self.source = Source::Text {
                agreeing: place.agreeing,
            };
        }
        &self.drafted
    }

    /// Makes the lookup hold these tokens and the one that is next.
    fn follow(&mut self, tokens: &[u32], next: u32) {
        let known = self.lookup.len();
        if known == tokens.len() + 1 && self.lookup.tokens().last() == Some(&next) {
            return;
        }
        match known <= tokens.len() {
            true => tokens[known..]
                .iter()
                .for_each(|&token| self.lookup.push(token)),
            false => self.lookup = Lookup::new(tokens),
        }
        self.lookup.push(next);
    }

    /// How many guesses the draft model is to make after these tokens and the next one, `most` at
    /// most. 0 where the text itself has a place to guess from, where they don't pay, and where
    /// this was asked before.
    pub fn wanted_of_model(&mut self, tokens: &[u32], next: u32, most: usize) -> usize {
        let at = tokens.len() + 1;
        match &mut self.model {
            Some(model) if matches!(model.guesses, Guesses::None | Guesses::Here(_)) => {
                if model.at == at {
                    return 0;
                }
                model.at = at;
                model.guesses = Guesses::None;
            }
            _ => return 0,
        }
        self.follow(tokens, next);
        let place = self.lookup.find();
        let is_trusted = place
            .is_some_and(|place| place.agreeing >= TRUSTED && self.pace.tokens(place.agreeing) > 0);
        let Some(model) = self.model.as_mut().filter(|_| !is_trusted) else {
            return 0;
        };
        let wanted = model.pace.tokens(CERTAIN);
        if wanted == 0 {
            model.pace.record(CERTAIN, 0, 0);
        }
        wanted.min(most)
    }

    /// The draft model was asked: [`Drafter::give`] or [`Drafter::give_up`] follows.
    pub fn expect_guesses(&mut self) {
        if let Some(model) = &mut self.model {
            model.guesses = Guesses::Coming;
        }
    }

    /// The draft model's guesses, which may be none.
    pub fn give(&mut self, guesses: Vec<u32>) {
        if let Some(model) = &mut self.model {
            model.guesses = Guesses::Here(guesses);
        }
    }

    /// The draft model failed: the request goes on without it.
    pub fn give_up(&mut self) {
        if let Some(model) = &mut self.model {
            model.guesses = Guesses::Failed;
        }
    }

    /// Whether the draft model is computing guesses.
    pub fn expects_guesses(&self) -> bool {
        let model = self.model.as_ref();
        model.is_some_and(|model| model.guesses == Guesses::Coming)
    }

    /// Whether guesses of the draft model are there to be used.
    pub fn has_guesses(&self) -> bool {
        let model = self.model.as_ref();
        model.is_some_and(|model| matches!(model.guesses, Guesses::Here(_)))
    }

    /// The draft model's guesses for what follows `at` tokens, if there are any.
    fn take_from_model(&mut self, at: usize) -> Option<Vec<u32>> {
        let model = self.model.as_mut()?;
        match std::mem::replace(&mut model.guesses, Guesses::None) {
            // Tokens may have been computed again in between, and another one chosen.
            Guesses::Here(guesses) => Some(guesses).filter(|all| model.at == at && !all.is_empty()),
            other => {
                model.guesses = other;
                None
            }
        }
    }

    /// The guesses that are being computed. Nothing is being computed any more.
    pub fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.drafted)
    }

    /// So many of the guesses were right.
    pub fn record(&mut self, drafted: usize, accepted: usize) {
        if drafted == 0 {
            return;
        }
        match (self.source, &mut self.model) {
            (Source::Text { agreeing }, _) => self.pace.record(agreeing, drafted, accepted),
            (Source::Model, Some(model)) => model.pace.record(CERTAIN, drafted, accepted),
            (Source::Model, None) => {}
        }
    }
}
