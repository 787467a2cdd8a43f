//! Finding control and user-defined tokens in text.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};

use super::TokenizerError;

/// The most bytes that control and user-defined tokens may have together: the matcher takes some 20 times as much.
const MAX_BYTES: usize = 4 << 20;

/// Finds the tokens that are matched as a whole, before text is cut into words. Of two that overlap, the one that
/// starts first wins; of two with one start, the longer.
#[derive(Debug)]
pub(super) struct Specials {
    /// Control and user-defined tokens.
    all: Matcher,
    /// User-defined tokens alone: they are ordinary text to people, so they are found in any text.
    user: Matcher,
}

#[derive(Debug)]
struct Matcher {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Matcher {
    fn new(tokens: &[(u32, &str)]) -> Result<Self, TokenizerError> {
        let bytes = tokens.iter().map(|(_, text)| text.len()).sum();
        if bytes > MAX_BYTES {
            return Err(TokenizerError::SpecialsTooLong { bytes, max: MAX_BYTES });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Both)
            .build(tokens.iter().map(|(_, text)| text))
            .map_err(|e| TokenizerError::Encoder { fault: e.to_string() })?;
        Ok(Self { automaton, ids: tokens.iter().map(|&(id, _)| id).collect() })
    }

    fn find(&self, text: &str, range: Range<usize>, anchored: Anchored) -> Option<(Range<usize>, u32)> {
        let input = Input::new(text).range(range).anchored(anchored);
        // Errors only where the automaton was built without the kind of start asked for.
        let found = self.automaton.try_find(input).ok()??;
        let id = self.ids.get(found.pattern().as_usize())?;
        Some((found.range(), *id))
    }
}

impl Specials {
    /// From the texts of the control and of the user-defined tokens. Empty texts must have been left out.
    pub(super) fn new(control: &[(u32, &str)], user: &[(u32, &str)]) -> Result<Self, TokenizerError> {
        Ok(Self { all: Matcher::new(&[control, user].concat())?, user: Matcher::new(user)? })
    }

    /// The first token of any kind in `range`.
    pub(super) fn find(&self, text: &str, range: Range<usize>) -> Option<(Range<usize>, u32)> {
        self.all.find(text, range, Anchored::No)
    }

    /// The first user-defined token in `range`.
    pub(super) fn find_user(&self, text: &str, range: Range<usize>) -> Option<(Range<usize>, u32)> {
        self.user.find(text, range, Anchored::No)
    }

    /// The token of any kind that starts exactly at `at`.
    pub(super) fn at(&self, text: &str, at: usize) -> Option<(Range<usize>, u32)> {
        self.all.find(text, at..text.len(), Anchored::Yes)
    }
}
