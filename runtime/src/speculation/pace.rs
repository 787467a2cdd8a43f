//! How many tokens to guess: as many as are expected to save time.

use super::{MOST_DRAFTED, Speculation};

/// Agreeing tokens from which on a place in the text is trusted before anything is known of it.
const LONG: usize = 6;
/// What is expected of a pass with one guess, as a share of one without: less is not worth a try.
const LEAST_GAIN: f64 = 1.1;
/// How fast earlier guesses are forgotten.
const KEPT: f64 = 0.9;
/// How fast an estimate that nothing was tried with returns to what it began with.
const KEPT_UNTRIED: f64 = 0.995;

/// Chooses how many tokens to guess, from what became of earlier guesses and how long passes took.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    kind: Speculation,
    /// Of places that agree with few tokens, and with many.
    estimates: [Estimate; 2],
    /// Seconds of a step without guesses.
    single: Option<f64>,
    /// Seconds of a further token, as a share of those.
    further: f64,
}

/// How likely a guess is right.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    right: f64,
    tried: f64,
}

/// Few tokens agree by chance in any text; many hardly ever.
const BEGIN: [Estimate; 2] = [
    Estimate {
        right: 0.5,
        tried: 2.0,
    },
    Estimate {
        right: 3.0,
        tried: 4.0,
    },
];

impl Pace {
    /// `further` is what a further token of a pass is assumed to take, as a share of a pass over
    /// one.
    pub fn new(kind: Speculation, further: f64) -> Self {
        Self {
            kind,
            estimates: BEGIN,
            single: None,
            further,
        }
    }

    /// How many tokens to guess after a place where so many agree.
    pub fn tokens(&self, agreeing: usize) -> usize {
        match self.kind {
            Speculation::Off => 0,
            Speculation::Tokens(tokens) => (tokens as usize).min(MOST_DRAFTED),
            Speculation::Auto => self.most_gain(agreeing),
        }
    }

    /// The number of guesses with the most tokens in a time; 0 where none is clearly better.
    fn most_gain(&self, agreeing: usize) -> usize {
        let Estimate { right, tried } = self.estimates[usize::from(agreeing >= LONG)];
        let rate = right / tried;
        let (mut tokens, mut each, mut best) = (1.0, 1.0, (LEAST_GAIN, 0));
        for guesses in 1..=MOST_DRAFTED {
            each *= rate;
            tokens += each;
            let gain = tokens / (1.0 + self.further * guesses as f64);
            if gain > best.0 {
                best = (gain, guesses);
            }
        }
        best.1
    }

    /// Of `drafted` guesses after a place where so many tokens agreed, `accepted` were right.
    pub fn record(&mut self, agreeing: usize, drafted: usize, accepted: usize) {
        let number = usize::from(agreeing >= LONG);
        let (estimate, begin) = (&mut self.estimates[number], BEGIN[number]);
        if drafted == 0 {
            let kept = |now: f64, begin: f64| begin + KEPT_UNTRIED * (now - begin);
            estimate.right = kept(estimate.right, begin.right);
            estimate.tried = kept(estimate.tried, begin.tried);
            return;
        }
        // The first wrong guess says nothing of those after it.
        let tried = drafted.min(accepted + 1);
        estimate.right = KEPT * estimate.right + accepted as f64;
        estimate.tried = KEPT * estimate.tried + tried as f64;
    }

    /// A pass over the certain token and so many guesses took this long.
    pub fn record_seconds(&mut self, guesses: usize, seconds: f64) {
        const NEW: f64 = 0.2;
        match (guesses, self.single) {
            (0, Some(single)) => self.single = Some(single + NEW * (seconds - single)),
            (0, None) => self.single = Some(seconds),
            (_, Some(single)) if single > 0.0 => {
                let further = (seconds / single - 1.0) / guesses as f64;
                self.further += NEW * (further.clamp(0.0, 1.0) - self.further);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_quotes_is_guessed_further_and_further() {
        let mut pace = Pace::new(Speculation::Auto, 0.3);
        let first = pace.tokens(8);
        assert!((1..MOST_DRAFTED).contains(&first), "{first}");
        for _ in 0..10 {
            let drafted = pace.tokens(8);
            pace.record(8, drafted, drafted);
        }
        assert_eq!(pace.tokens(8), MOST_DRAFTED);
    }

    #[test]
    fn wrong_guesses_end_it_for_a_while() {
        let mut pace = Pace::new(Speculation::Auto, 0.3);
        assert_eq!(pace.tokens(3), 0);
        let mut tries = 0;
        for _ in 0..100 {
            let drafted = pace.tokens(8);
            tries += usize::from(drafted > 0);
            pace.record(8, drafted, 0);
        }
        // What they cost is little: a guess takes a third of a step.
        assert!((1..=5).contains(&tries), "{tries}");
    }

    #[test]
    fn guesses_that_cost_as_much_as_they_save_are_not_made() {
        let mut pace = Pace::new(Speculation::Auto, 0.1);
        assert!(pace.tokens(8) > 0);
        pace.record_seconds(0, 1.0);
        for _ in 0..30 {
            pace.record_seconds(2, 3.0);
        }
        assert_eq!(pace.tokens(8), 0);
        assert_eq!(Pace::new(Speculation::Tokens(5), 1.0).tokens(3), 5);
        assert_eq!(Pace::new(Speculation::Off, 0.0).tokens(32), 0);
    }
}
