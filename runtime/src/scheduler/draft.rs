//! The guesses of a request: which tokens come with its next one.

use crate::speculation::{FURTHER, Lookup, Pace, Speculation};

#[derive(Clone, Debug)]
pub(super) struct Drafter {
    /// The sequence's tokens, computed or not.
    lookup: Lookup,
    pace: Pace,
    /// The guesses that are being computed, and how many tokens agreed where they come from.
    drafted: (Vec<u32>, usize),
}

impl Drafter {
    pub fn new(kind: Speculation, is_cpu: bool) -> Option<Self> {
        (kind != Speculation::Off).then(|| Self {
            lookup: Lookup::default(),
            pace: Pace::new(kind, FURTHER[usize::from(!is_cpu)]),
            drafted: (Vec::new(), 0),
        })
    }

    /// Guesses what follows a sequence of these computed tokens and the one that is next; at most
    /// `most` tokens.
    pub fn draft(&mut self, tokens: &[u32], next: u32, most: usize) -> &[u32] {
        let known = self.lookup.len();
        match known <= tokens.len() {
            true => tokens[known..]
                .iter()
                .for_each(|&token| self.lookup.push(token)),
            false => self.lookup = Lookup::new(tokens),
        }
        self.lookup.push(next);
        self.drafted = (Vec::new(), 0);
        if let Some(place) = self.lookup.find() {
            let wanted = self.pace.tokens(place.agreeing);
            if wanted == 0 {
                self.pace.record(place.agreeing, 0, 0);
            }
            self.drafted = (self.lookup.guess(place, wanted.min(most)), place.agreeing);
        }
        &self.drafted.0
    }

    /// The guesses that are being computed. Nothing is being computed any more.
    pub fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.drafted.0)
    }

    /// So many of the guesses were right.
    pub fn record(&mut self, drafted: usize, accepted: usize) {
        if drafted > 0 {
            self.pace.record(self.drafted.1, drafted, accepted);
        }
    }
}
