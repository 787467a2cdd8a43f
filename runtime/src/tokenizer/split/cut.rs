//! One pattern by which text is cut.

use std::ops::Range;
use std::sync::Arc;

use super::{Behavior, GPT2, LLAMA3, QWEN2, TAILS};
use crate::tokenizer::TokenizerError;
use crate::tokenizer::scan::{Match, Scanner, Steps};

/// A pattern, and the treatment of its matches.
///
/// A pattern ending in `|\s+(?!\S)|\s+` is compiled as two: what comes before, and `\s+`. Where
/// only the second matches, and a word follows, the run of white space gives its last character
/// back. That is what the look-ahead says.
#[derive(Clone, Debug)]
pub(in crate::tokenizer) struct Cut {
    pub(super) scanner: Arc<Scanner>,
    pub(super) behavior: Behavior,
    /// Whether the text between the pattern's matches counts as the matches.
    invert: bool,
}

impl PartialEq for Cut {
    fn eq(&self, other: &Self) -> bool {
        let what = |cut: &Self| (cut.behavior, cut.invert);
        self.scanner.name() == other.scanner.name() && what(self) == what(other)
    }
}

const BODY: usize = 0;

impl Cut {
    pub(super) fn new(
        pattern: &str,
        behavior: Behavior,
        invert: bool,
    ) -> Result<Self, TokenizerError> {
        let body = TAILS.iter().find_map(|tail| pattern.strip_suffix(tail));
        let patterns = match body {
            Some(body) => vec![body, r"\s+"],
            None => vec![pattern],
        };
        let scanner = Arc::new(Scanner::new(pattern, &patterns)?);
        let (behavior, invert) = match (behavior, invert) {
            // These patterns match every character, so nothing is dropped.
            (Behavior::Removed, true) if [GPT2, LLAMA3, QWEN2].contains(&pattern) => {
                (Behavior::Isolated, false)
            }
            (Behavior::Isolated, _) => (Behavior::Isolated, false),
            other => other,
        };
        Ok(Self {
            scanner,
            behavior,
            invert,
        })
    }

    /// Where a match ends. A run of white space gives its last character to the word behind it.
    fn end(
        text: &str,
        Match {
            pattern,
            start,
            end,
        }: Match,
    ) -> usize {
        if pattern == BODY || end == text.len() {
            return end;
        }
        match text[start..end].char_indices().next_back() {
            Some((at, _)) if at > 0 => start + at,
            _ => end,
        }
    }

    /// Hands out the matches of the pattern and what lies between them, in order.
    fn parts(
        &self,
        text: &str,
        steps: &mut Steps,
        mut part: impl FnMut(Range<usize>, bool, &mut Steps) -> Result<(), TokenizerError>,
    ) -> Result<(), TokenizerError> {
        let mut done = 0;
        self.scanner.each(text, steps, |found, steps| {
            let (start, end) = (found.start, Self::end(text, found));
            if done < start {
                part(done..start, false, steps)?;
            }
            if start < end {
                part(start..end, true, steps)?;
            }
            done = end;
            // A pattern from a file may match nothing at all: go on behind the next character.
            let next = text[end..].chars().next();
            Ok(next.map(|c| {
                if start == end {
                    end + c.len_utf8()
                } else {
                    end
                }
            }))
        })?;
        if done < text.len() {
            part(done..text.len(), false, steps)
        } else {
            Ok(())
        }
    }

    /// Hands out the pieces of `text` in order. None is empty.
    pub(super) fn pieces(
        &self,
        text: &str,
        steps: &mut Steps,
        mut piece: impl FnMut(Range<usize>, &mut Steps) -> Result<(), TokenizerError>,
    ) -> Result<(), TokenizerError> {
        if self.behavior == Behavior::Isolated {
            return self.parts(text, steps, |range, _, steps| piece(range, steps));
        }
        let joins = |before: bool, after: bool| match self.behavior {
            Behavior::Contiguous => before == after,
            Behavior::MergedWithPrevious => !before && after,
            Behavior::MergedWithNext => before && !after,
            Behavior::Isolated | Behavior::Removed => false,
        };
        let mut emit = |range: Range<usize>, matched: bool, steps: &mut Steps| match self.behavior {
            Behavior::Removed if matched => Ok(()),
            _ => piece(range, steps),
        };
        // The piece that the next part may belong to.
        let mut last: Option<(Range<usize>, bool)> = None;
        self.parts(text, steps, |range, matched, steps| {
            let after = matched != self.invert;
            match &mut last {
                Some((whole, before)) if joins(*before, after) => {
                    whole.end = range.end;
                    *before = after;
                }
                _ => {
                    if let Some((whole, before)) = last.replace((range, after)) {
                        emit(whole, before, steps)?;
                    }
                }
            }
            Ok(())
        })?;
        last.map_or(Ok(()), |(whole, matched)| emit(whole, matched, steps))
    }
}
