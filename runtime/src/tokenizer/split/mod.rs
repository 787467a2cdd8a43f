//! Pre-tokenizers: how text is cut into words before byte-pair merges, which never cross a cut.
//!
//! The patterns are the models' own. Those that tell apart a run's last white space by `\s+(?!\S)`
//! are used without the look-ahead (see [`Cut`]), so all run on an automaton that can't backtrack.
//! A pattern that reads far beyond what it matches ends in an error ([`super::scan`]).

mod cut;
#[cfg(test)]
mod tests;

use super::scan::Steps;
use super::vocab::LOW_LINE;
use super::{TokenizerError, bytes};
use cut::Cut;

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
