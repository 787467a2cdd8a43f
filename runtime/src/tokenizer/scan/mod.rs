//! Patterns that files bring, searched on an automaton that counts its steps.
//!
//! An automaton reads each byte once, but it may read far beyond what it then matches: all of a
//! text for each of its letters (`.*[^A-Z]|[A-Z]`). So each byte that is read is paid for from a
//! budget in proportion to the text, and a pattern that uses it up is an error.

#[cfg(test)]
mod tests;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::hybrid::{LazyStateID, dfa, regex};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input, PatternID, meta, util::syntax};

use super::TokenizerError;

/// Steps that a text may take for each of its bytes, and besides. The patterns of real tokenizers
/// take some ten on most texts. On texts of thousands of different letters the automaton's states
/// don't fit their memory and are made again and again: up to 400.
const STEPS_PER_BYTE: u64 = 1024;
const STEPS_BESIDES: u64 = 32 << 20;
/// Steps that a byte of a new state costs.
const STEPS_PER_STATE_BYTE: u64 = 2;
/// The most bytes of the automaton that a pattern is compiled to, forwards and backwards each. The
/// patterns of known models fit (`split::tests`).
const MOST_NFA: usize = 2 << 20;
/// The most bytes of the states that are kept, forwards and backwards each.
const MOST_STATES: usize = 2 << 20;

/// The steps that the patterns may still take on a text.
#[derive(Debug)]
pub(super) struct Steps {
    left: u64,
    most: u64,
    bytes: usize,
}

impl Steps {
    /// The steps for a text of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let most = STEPS_BESIDES.saturating_add(STEPS_PER_BYTE.saturating_mul(bytes as u64));
        Self {
            left: most,
            most,
            bytes,
        }
    }

    /// The steps that were taken.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.most - self.left
    }

    fn pay(&mut self, steps: u64, pattern: &str) -> Result<(), TokenizerError> {
        match self.left.checked_sub(steps) {
            Some(left) => self.left = left,
            None => {
                let pattern = pattern.chars().take(200).collect();
                return Err(TokenizerError::Steps {
                    pattern,
                    most: self.most,
                    bytes: self.bytes,
                });
            }
        }
        Ok(())
    }
}

/// A match: which of the patterns, from where, to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub pattern: usize,
    pub start: usize,
    pub end: usize,
}

type Caches =
    Pool<regex::Cache, Box<dyn Fn() -> regex::Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// Patterns, of which the first that matches at the leftmost place counts.
#[derive(Debug)]
pub(super) struct Scanner {
    regex: Arc<regex::Regex>,
    caches: Caches,
    /// The name of the patterns in errors.
    name: String,
    patterns: Vec<String>,
    /// The same patterns by another engine, for text that the automaton can't read: word boundaries
    /// beside characters outside ASCII.
    slow: OnceLock<Option<meta::Regex>>,
}

/// A text that the automaton can't read.
struct Unreadable;

fn syntax() -> syntax::Config {
    syntax::Config::new().nest_limit(64)
}

impl Scanner {
    /// Compiles patterns. Errors call them by `name`.
    ///
    /// # Errors
    /// One is malformed, looks around, or is too large.
    pub(super) fn new(name: &str, patterns: &[&str]) -> Result<Self, TokenizerError> {
        let error = |cause: String| TokenizerError::Pattern {
            pattern: name.chars().take(200).collect(),
            cause,
        };
        for pattern in patterns {
            syntax::parse_with(pattern, &syntax()).map_err(|e| error(e.to_string()))?;
        }
        let config = dfa::Config::new()
            .cache_capacity(MOST_STATES)
            .skip_cache_capacity_check(true)
            .unicode_word_boundary(true);
        let regex = regex::Regex::builder()
            .syntax(syntax())
            .thompson(thompson::Config::new().nfa_size_limit(Some(MOST_NFA)))
            .dfa(config)
            .build_many(patterns)
            .map_err(|e| {
                error(
                    std::error::Error::source(&e)
                        .map_or_else(|| e.to_string(), ToString::to_string),
                )
            })?;
        let regex = Arc::new(regex);
        let of = Arc::clone(&regex);
        Ok(Self {
            caches: Pool::new(Box::new(move || of.create_cache())),
            regex,
            name: name.into(),
            patterns: patterns.iter().map(ToString::to_string).collect(),
            slow: OnceLock::new(),
        })
    }

    /// The pattern that errors name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Hands out the matches from the start of the text on. `next` says where to go on behind one.
    ///
    /// # Errors
    /// The steps are used up; or what `next` returns.
    pub(super) fn each(
        &self,
        text: &str,
        steps: &mut Steps,
        mut next: impl FnMut(Match, &mut Steps) -> Result<Option<usize>, TokenizerError>,
    ) -> Result<(), TokenizerError> {
        let mut cache = self.caches.get();
        let mut from = 0;
        while let Some(found) = self.find(&mut cache, text, from, steps)? {
            match next(found, steps)? {
                Some(at) => from = at,
                None => break,
            }
        }
        Ok(())
    }

    /// The first match from `from` on.
    fn find(
        &self,
        cache: &mut regex::Cache,
        text: &str,
        from: usize,
        steps: &mut Steps,
    ) -> Result<Option<Match>, TokenizerError> {
        let mut read = 0;
        let (forward, reverse) = (self.regex.forward(), self.regex.reverse());
        let before = cost(cache.forward()) + cost(cache.reverse());
        let (one, other) = cache.as_parts_mut();
        let found = search(forward, one, reverse, other, text, from, &mut read);
        // States that were thrown away had been paid for as they came.
        let built = (cost(cache.forward()) + cost(cache.reverse())).saturating_sub(before);
        steps.pay(
            2 * read + built.saturating_mul(STEPS_PER_STATE_BYTE),
            &self.name,
        )?;
        match found {
            Ok(found)
                if found.is_none_or(|Match { start, end, .. }| is_whole(text, start, end)) =>
            {
                Ok(found)
            }
            _ => self.find_slowly(text, from, steps),
        }
    }

    /// The same by another engine, which can't say how far it has read: as if it were all.
    fn find_slowly(
        &self,
        text: &str,
        from: usize,
        steps: &mut Steps,
    ) -> Result<Option<Match>, TokenizerError> {
        steps.pay(16 * (text.len() - from) as u64, &self.name)?;
        let build = || {
            let config = meta::Config::new()
                .nfa_size_limit(Some(MOST_NFA))
                .hybrid(false);
            meta::Regex::builder()
                .syntax(syntax())
                .configure(config)
                .build_many(&self.patterns)
                .ok()
        };
        let Some(regex) = self.slow.get_or_init(build) else {
            let cause = "it can't be used on this text".into();
            return Err(TokenizerError::Pattern {
                pattern: self.name.chars().take(200).collect(),
                cause,
            });
        };
        let found = regex.find(Input::new(text).range(from..));
        Ok(found.map(|m| Match {
            pattern: m.pattern().as_usize(),
            start: m.start(),
            end: m.end(),
        }))
    }
}

/// Whether a match is of whole characters. Empty ones need not be.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    text.is_char_boundary(start) && text.is_char_boundary(end)
}

/// The bytes of all states that were ever made.
fn cost(cache: &Cache) -> u64 {
    (cache.clear_count() as u64)
        .saturating_mul(MOST_STATES as u64)
        .saturating_add(cache.memory_usage() as u64)
}

/// Finds the end of the first match forwards, and its start backwards from there. Adds the bytes
/// that were read forwards to `read`; backwards there are no more.
fn search(
    forward: &DFA,
    cache: &mut Cache,
    reverse: &DFA,
    reverse_cache: &mut Cache,
    text: &str,
    from: usize,
    read: &mut u64,
) -> Result<Option<Match>, Unreadable> {
    let input = Input::new(text).range(from..);
    let Some((pattern, end)) = search_end(forward, cache, &input, read)? else {
        return Ok(None);
    };
    if end == from {
        return Ok(Some(Match {
            pattern: pattern.as_usize(),
            start: end,
            end,
        }));
    }
    let back = Input::new(text).range(from..end).anchored(Anchored::Yes);
    let start = reverse
        .try_search_rev(reverse_cache, &back)
        .map_err(|_| Unreadable)?
        .ok_or(Unreadable)?;
    Ok(Some(Match {
        pattern: pattern.as_usize(),
        start: start.offset(),
        end,
    }))
}

/// The pattern and the end of the first match.
fn search_end(
    forward: &DFA,
    cache: &mut Cache,
    input: &Input<'_>,
    read: &mut u64,
) -> Result<Option<(PatternID, usize)>, Unreadable> {
    let matched = |cache: &Cache, state: LazyStateID| forward.match_pattern(cache, state, 0);
    let mut state = forward
        .start_state_forward(cache, input)
        .map_err(|_| Unreadable)?;
    let mut found = None;
    for (at, &byte) in (input.start()..).zip(&input.haystack()[input.start()..]) {
        state = forward
            .next_state(cache, state, byte)
            .map_err(|_| Unreadable)?;
        if state.is_tagged() {
            // A match shows one byte behind its end.
            if state.is_match() {
                found = Some((matched(cache, state), at));
            } else if state.is_dead() {
                *read += (at - input.start()) as u64 + 1;
                return Ok(found);
            } else if state.is_quit() {
                *read += (at - input.start()) as u64 + 1;
                return Err(Unreadable);
            }
        }
    }
    let end = input.haystack().len();
    *read += (end - input.start()) as u64 + 1;
    state = forward
        .next_eoi_state(cache, state)
        .map_err(|_| Unreadable)?;
    if state.is_match() {
        found = Some((matched(cache, state), end));
    }
    Ok(found)
}
