//! Guesses from the text itself: what followed the last time that the newest tokens came up.

use std::collections::HashMap;

/// Tokens that must agree for a place to be found.
const KEY: usize = 3;
/// Places that are compared, the newest first.
const PLACES: usize = 16;
/// Agreeing tokens beyond which a place is not better.
const LONGEST: usize = 32;

/// A text with an index of where its tokens came up, by three tokens in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookup {
    tokens: Vec<u32>,
    /// For three tokens in a row, the position of the last one where they came up last.
    newest: HashMap<[u32; KEY], u32>,
    /// For each position, where the same three tokens came up before.
    before: Vec<Option<u32>>,
}

/// A place where the newest tokens came up before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The position after it.
    next: usize,
    /// How many tokens agree, [`LONGEST`] at most.
    pub agreeing: usize,
}

impl Lookup {
    pub fn new(tokens: &[u32]) -> Self {
        let mut lookup = Self::default();
        tokens.iter().for_each(|&token| lookup.push(token));
        lookup
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn push(&mut self, token: u32) {
        self.tokens.push(token);
        let at = self.tokens.len() as u32 - 1;
        let before = self.key().and_then(|key| self.newest.insert(key, at));
        self.before.push(before);
    }

    /// The last three tokens.
    fn key(&self) -> Option<[u32; KEY]> {
        self.tokens.last_chunk::<KEY>().copied()
    }

    /// The place where most of the newest tokens came up before; of several the newest.
    pub fn find(&self) -> Option<Place> {
        let mut at = *self.before.last()?;
        let mut best: Option<Place> = None;
        for _ in 0..PLACES {
            let Some(last) = at else {
                break;
            };
            let earlier = self.tokens[..=last as usize].iter().rev();
            let agreeing = earlier
                .zip(self.tokens.iter().rev())
                .take(LONGEST)
                .take_while(|(a, b)| a == b)
                .count();
            if best.is_none_or(|best| agreeing > best.agreeing) {
                let next = last as usize + 1;
                best = Some(Place { next, agreeing });
            }
            at = self.before[last as usize];
        }
        best
    }

    /// The tokens that followed there. A text that repeats itself goes on with what is guessed.
    pub fn guess(&self, place: Place, len: usize) -> Vec<u32> {
        let mut guessed = Vec::with_capacity(len);
        for at in place.next..place.next + len {
            let known = self.tokens.get(at).copied();
            let token = known.or_else(|| guessed.get(at - self.tokens.len()).copied());
            guessed.extend(token);
        }
        guessed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(tokens: &[u32], len: usize) -> (usize, Vec<u32>) {
        let lookup = Lookup::new(tokens);
        match lookup.find() {
            Some(place) => (place.agreeing, lookup.guess(place, len)),
            None => (0, Vec::new()),
        }
    }

    #[test]
    fn what_followed_is_guessed() {
        assert_eq!(guess(&[1, 2, 3, 4, 5, 1, 2, 3], 2), (3, vec![4, 5]));
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 2, 3], 2), (0, vec![]));
        assert_eq!(guess(&[], 2), (0, vec![]));
        assert_eq!(guess(&[7, 7], 2), (0, vec![]));
    }

    #[test]
    fn the_place_that_agrees_longest_counts() {
        // After 9 2 3 4 came 5; after the newer 8 2 3 4 came 6.
        let text = [9, 2, 3, 4, 5, 8, 2, 3, 4, 6, 9, 2, 3, 4];
        assert_eq!(guess(&text, 1), (4, vec![5]));
        // Of those that agree equally long, the newest.
        let text = [9, 2, 3, 4, 5, 8, 2, 3, 4, 6, 7, 2, 3, 4];
        assert_eq!(guess(&text, 1), (3, vec![6]));
    }

    #[test]
    fn a_text_that_repeats_itself_goes_on() {
        assert_eq!(guess(&[1, 5, 5, 5, 5], 4), (3, vec![5, 5, 5, 5]));
        assert_eq!(guess(&[1, 2, 3, 1, 2, 3], 5), (3, vec![1, 2, 3, 1, 2]));
    }
}
