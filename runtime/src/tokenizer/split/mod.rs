//! Pre-tokenizers: how text is cut into words before byte-pair merges, which never cross a cut.
//!
//! The patterns are the models' own. Those that tell apart a run's last white space by `\s+(?!\S)`
//! are used without the look-ahead (see [`Cut`]), so all run on an automaton that can't backtrack.
//! A pattern that reads far beyond what it matches ends in an error ([`super::scan`]).

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::scan::{Match, Scanner, Steps};
use super::vocab::LOW_LINE;
use super::{TokenizerError, bytes};

/// The cut of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// The cut of Llama 3: contractions in any case, numbers in threes, line ends kept with what comes
/// before.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// The cut of Qwen 2: Llama 3's, each digit alone.
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const DIGIT: &str = r"\p{N}";
const DIGITS: &str = r"\p{N}+";

/// The tails by which patterns give a run's last white space to the word after it.
const TAILS: [&str; 2] = [r"|\s+(?!\S)|\s+", r"|\s+(?!\S)"];

/// How deep cuts may be nested.
const MAX_STEPS: usize = 16;

/// The treatment of the pieces that a pattern matches, named as in a `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    /// Matches and the text between them are pieces.
    Isolated,
    /// Matches are dropped.
    Removed,
    /// Neighbouring matches are one piece.
    Contiguous,
    /// A match belongs to the text before it.
    MergedWithPrevious,
    /// A match belongs to the text after it.
    MergedWithNext,
}

/// When a stretch of text gets a SentencePiece space in front, unless it starts with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpacePrefix {
    /// Never.
    Never,
    /// Every stretch.
    Always,
    /// The stretch at the start of the whole text.
    First,
}

/// One step of a pre-tokenizer. Each step works on the pieces of the step before.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Cuts text by a pattern.
    Cut(Cut),
    /// Puts a space in front of a piece that starts with none.
    Space,
    /// Spells text in the letters of [`bytes`].
    Letters,
    /// Writes spaces as [`LOW_LINE`].
    LowLines(SpacePrefix),
}

/// A pre-tokenizer: steps, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Splitter {
    steps: Vec<Step>,
}

/// A pattern, and the treatment of its matches.
///
/// A pattern ending in `|\s+(?!\S)|\s+` is compiled as two: what comes before, and `\s+`. Where
/// only the second matches, and a word follows, the run of white space gives its last character
/// back. That is what the look-ahead says.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    scanner: Arc<Scanner>,
    behavior: Behavior,
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
    fn new(pattern: &str, behavior: Behavior, invert: bool) -> Result<Self, TokenizerError> {
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
    fn pieces(
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

impl Splitter {
    /// The names that `tokenizer.ggml.pre` may have.
    pub(super) const KNOWN: &str = "llama-bpe, llama3, llama-v3, smollm, gpt-2, qwen2, default";

    /// The pre-tokenizer by its name in `tokenizer.ggml.pre`; none where the name is unknown.
    pub(super) fn named(pre: &str) -> Option<Result<Self, TokenizerError>> {
        Some(match pre {
            "llama-bpe" | "llama3" | "llama-v3" => Self::words(&[LLAMA3]),
            "smollm" => Self::words(&[DIGIT, GPT2]),
            "gpt-2" => Self::words(&[GPT2]),
            "qwen2" => Self::words(&[QWEN2]),
            // As llama.cpp, for vocabularies it has no name for.
            "default" => Self::words(&[r"[\p{P}$+<=>^~|]+", GPT2, DIGITS, r"[0-9][0-9][0-9]"]),
            _ => return None,
        })
    }

    /// The pre-tokenizer that cuts by these patterns, in this order, and spells the words in
    /// letters.
    fn words(patterns: &[&str]) -> Result<Self, TokenizerError> {
        let mut steps = patterns
            .iter()
            .map(|p| Self::cut(p, Behavior::Isolated, false))
            .collect::<Result<Vec<_>, _>>()?;
        steps.push(Step::Letters);
        Self::new(steps)
    }

    /// A step that cuts by a pattern.
    pub(super) fn cut(
        pattern: &str,
        behavior: Behavior,
        invert: bool,
    ) -> Result<Step, TokenizerError> {
        Cut::new(pattern, behavior, invert).map(Step::Cut)
    }

    /// The pre-tokenizer of these steps.
    pub(super) fn new(steps: Vec<Step>) -> Result<Self, TokenizerError> {
        if steps.len() > MAX_STEPS {
            return Err(TokenizerError::Unsupported {
                key: "pre_tokenizer".into(),
                value: format!("{} steps", steps.len()),
                known: format!("at most {MAX_STEPS}"),
            });
        }
        Ok(Self { steps })
    }

    /// The steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The name in `tokenizer.ggml.pre` of this pre-tokenizer.
    pub(super) fn name(&self) -> Option<&'static str> {
        let named: [(&str, &[&str]); 4] = [
            ("llama-bpe", &[LLAMA3]),
            ("smollm", &[DIGIT, GPT2]),
            ("gpt-2", &[GPT2]),
            ("qwen2", &[QWEN2]),
        ];
        let (last, cuts) = self.steps.split_last()?;
        let patterns: Option<Vec<&str>> = cuts
            .iter()
            .map(|step| match step {
                Step::Cut(cut) if cut.behavior == Behavior::Isolated => Some(cut.scanner.name()),
                _ => None,
            })
            .collect();
        let patterns = patterns.filter(|_| *last == Step::Letters)?;
        named
            .into_iter()
            .find(|(_, known)| patterns == *known)
            .map(|(name, _)| name)
    }

    /// The patterns of `ByteLevel` and `Digits` in a `tokenizer.json`.
    pub(super) const fn gpt2() -> &'static str {
        GPT2
    }

    /// See [`Splitter::gpt2`].
    pub(super) const fn digits(individual: bool) -> &'static str {
        if individual { DIGIT } else { DIGITS }
    }

    /// Hands out the pieces of `text` in order; none is empty. `first` says that nothing comes
    /// before the text.
    ///
    /// # Errors
    /// A pattern uses up the steps; or what `piece` returns.
    pub(super) fn each(
        &self,
        text: &str,
        first: bool,
        steps: &mut Steps,
        piece: &mut dyn FnMut(&str) -> Result<(), TokenizerError>,
    ) -> Result<(), TokenizerError> {
        split(&self.steps, text, first, steps, piece)
    }
}

fn split(
    steps: &[Step],
    text: &str,
    first: bool,
    budget: &mut Steps,
    piece: &mut dyn FnMut(&str) -> Result<(), TokenizerError>,
) -> Result<(), TokenizerError> {
    if text.is_empty() {
        return Ok(());
    }
    let Some((step, rest)) = steps.split_first() else {
        return piece(text);
    };
    match step {
        Step::Cut(cut) => cut.pieces(text, budget, |range, budget| {
            split(
                rest,
                &text[range.clone()],
                first && range.start == 0,
                budget,
                piece,
            )
        }),
        Step::Space if text.starts_with(' ') => split(rest, text, first, budget, piece),
        Step::Space => split(rest, &format!(" {text}"), first, budget, piece),
        Step::Letters => {
            let spelled: String = text.bytes().map(bytes::letter).collect();
            split(rest, &spelled, first, budget, piece)
        }
        Step::LowLines(prefix) => {
            let add = match prefix {
                SpacePrefix::Never => false,
                SpacePrefix::Always => true,
                SpacePrefix::First => first,
            };
            let mut spelled = String::with_capacity(text.len() + text.len() / 4 + 3);
            spelled.extend((add && !text.starts_with([' ', LOW_LINE])).then_some(LOW_LINE));
            spelled.extend(text.chars().map(|c| if c == ' ' { LOW_LINE } else { c }));
            split(rest, &spelled, first, budget, piece)
        }
    }
}
