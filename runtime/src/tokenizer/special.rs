//! Finding control and user-defined tokens in text.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use regex_automata::meta::Regex;

use super::TokenizerError;

/// The most bytes that control and user-defined tokens may have together: the matcher takes some 20
/// times as much.
const MAX_BYTES: usize = 4 << 20;

/// How a token is found in text, named as in a `tokenizer.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// Only where no letter or digit touches it.
    pub single_word: bool,
    /// The white space before it belongs to it.
    pub lstrip: bool,
    /// The white space after it belongs to it.
    pub rstrip: bool,
    /// It is looked for in text that was normalised, not in the text as it is.
    pub normalized: bool,
}

/// A token as it was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The token's text.
    pub own: Range<usize>,
    /// The same with the white space that belongs to the token.
    pub whole: Range<usize>,
    pub id: u32,
}

/// A token to look for: its id, its text, and how it is matched.
pub(super) type Wanted<'a> = (u32, &'a str, Matching);

/// Finds the tokens that are matched as a whole, before text is cut into words. Of two that
/// overlap, the one that starts first wins; of two with one start, the longer.
#[derive(Debug)]
pub(super) struct Specials {
    /// Control and user-defined tokens that are looked for in the text as it is.
    all: Matcher,
    /// User-defined tokens alone: they are ordinary text to people, so they are found in any text.
    user: Matcher,
    /// The same of tokens that are looked for in normalised text.
    all_normalized: Matcher,
    user_normalized: Matcher,
    /// All tokens, whatever they are looked for in: what a template may write. None where that is
    /// `all`.
    written: Option<Matcher>,
}

/// Which tokens are searched for: in the text as it is, or after normalising it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// Control tokens too, not user-defined ones alone.
    pub control: bool,
    /// In normalised text.
    pub normalized: bool,
}

#[derive(Debug)]
struct Matcher {
    automaton: AhoCorasick,
    tokens: Vec<(u32, Matching)>,
}

impl Matcher {
    fn new<'a>(
        tokens: impl Iterator<Item = &'a Wanted<'a>> + Clone,
    ) -> Result<Self, TokenizerError> {
        let bytes = tokens.clone().map(|(_, text, _)| text.len()).sum();
        if bytes > MAX_BYTES {
            return Err(TokenizerError::SpecialsTooLong {
                bytes,
                max: MAX_BYTES,
            });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Both)
            .build(tokens.clone().map(|(_, text, _)| text))
            .map_err(|e| TokenizerError::Encoder {
                cause: e.to_string(),
            })?;
        Ok(Self {
            automaton,
            tokens: tokens.map(|&(id, _, matching)| (id, matching)).collect(),
        })
    }

    /// The first token in `range`; with an anchor, at its start. White space before `done` belongs
    /// to another token.
    fn find(
        &self,
        text: &str,
        range: Range<usize>,
        done: usize,
        anchored: Anchored,
    ) -> Option<Found> {
        let mut from = range.start;
        loop {
            let input = Input::new(text).range(from..range.end).anchored(anchored);
            // Errors only where the automaton was built without the kind of start asked for.
            let found = self.automaton.try_find(input).ok()??;
            let &(id, matching) = self.tokens.get(found.pattern().as_usize())?;
            let own = found.range();
            if matching.single_word
                && (ends_with_word(&text[..own.start]) || starts_with_word(&text[own.end..]))
            {
                if anchored == Anchored::Yes {
                    return None;
                }
                from = own.end;
                continue;
            }
            let mut whole = own.clone();
            if matching.lstrip {
                whole.start = done + text[done..own.start].trim_end().len();
            }
            if matching.rstrip {
                let after = &text[own.end..range.end];
                whole.end += after.len() - after.trim_start().len();
            }
            return Some(Found { own, whole, id });
        }
    }
}

/// Letters, marks, digits and connectors. None where the pattern does not compile, which it does.
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\w").ok());

fn is_word(character: Option<char>) -> bool {
    let mut buffer = [0; 4];
    let is_match = |c: char| {
        WORD.as_ref()
            .is_some_and(|word| word.is_match(&*c.encode_utf8(&mut buffer)))
    };
    character.is_some_and(is_match)
}

fn ends_with_word(text: &str) -> bool {
    is_word(text.chars().next_back())
}

fn starts_with_word(text: &str) -> bool {
    is_word(text.chars().next())
}

impl Specials {
    /// From the texts of the control and of the user-defined tokens. Empty texts must have been
    /// left out.
    pub(super) fn new(control: &[Wanted<'_>], user: &[Wanted<'_>]) -> Result<Self, TokenizerError> {
        let both = || control.iter().chain(user);
        Ok(Self {
            all: Matcher::new(both().filter(|(.., matching)| !matching.normalized))?,
            user: Matcher::new(user.iter().filter(|(.., matching)| !matching.normalized))?,
            all_normalized: Matcher::new(both().filter(|(.., matching)| matching.normalized))?,
            user_normalized: Matcher::new(
                user.iter().filter(|(.., matching)| matching.normalized),
            )?,
            written: match both().any(|(.., matching)| matching.normalized) {
                true => Some(Matcher::new(both())?),
                false => None,
            },
        })
    }

    /// The first token in `range`, which begins where no other token has taken the text.
    pub(super) fn find(&self, search: Search, text: &str, range: Range<usize>) -> Option<Found> {
        let matcher = match (search.control, search.normalized) {
            (true, false) => &self.all,
            (false, false) => &self.user,
            (true, true) => &self.all_normalized,
            (false, true) => &self.user_normalized,
        };
        matcher.find(text, range.clone(), range.start, Anchored::No)
    }

    /// The token of any kind that starts exactly at `at`; white space from `done` on may belong to
    /// it.
    pub(super) fn at(&self, text: &str, at: usize, done: usize) -> Option<Found> {
        self.written
            .as_ref()
            .unwrap_or(&self.all)
            .find(text, at..text.len(), done, Anchored::Yes)
    }
}
