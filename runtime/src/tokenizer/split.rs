//! Pre-tokenizers: how text is cut into words before byte-pair merges, which never cross a cut.
//!
//! The patterns are the models' own. Those that tell apart a run's last white space by `\s+(?!\S)`
//! are used without the look-ahead (see [`Cut`]), so all run on an automaton that can't backtrack.
//! A pattern that reads far beyond what it matches ends in an error ([`super::scan`]).

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

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pre: &str, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let splitter = Splitter::named(pre).expect("known").expect("compiles");
        splitter
            .each(text, true, &mut Steps::of(text.len()), &mut |p| {
                out.push(p.chars().filter_map(bytes::byte).collect::<Vec<_>>());
                Ok(())
            })
            .expect("infallible");
        assert_eq!(out.concat(), text.as_bytes());
        out.into_iter()
            .map(|bytes| String::from_utf8(bytes).expect("whole characters"))
            .collect()
    }

    fn cut(pattern: &str, behavior: Behavior, invert: bool, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        Splitter::cut(pattern, behavior, invert)
            .and_then(|step| Splitter::new(vec![step]))
            .expect("compiles")
            .each(text, true, &mut Steps::of(text.len()), &mut |p| {
                out.push(p.to_owned());
                Ok(())
            })
            .expect("infallible");
        out
    }

    #[test]
    fn a_run_of_white_space_gives_its_last_to_the_word() {
        assert_eq!(pieces("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(pieces("gpt-2", "a\n\nb  "), ["a", "\n", "\n", "b", "  "]);
        assert_eq!(pieces("llama-bpe", "a\n \n  b"), ["a", "\n \n", " ", " b"]);
        assert_eq!(
            pieces("llama-bpe", "a\t\tb\u{a0}"),
            ["a", "\t", "\tb", "\u{a0}"]
        );
    }

    #[test]
    fn numbers_and_contractions() {
        assert_eq!(
            pieces("llama-bpe", "I'M 12345"),
            ["I", "'M", " ", "123", "45"]
        );
        assert_eq!(pieces("smollm", "I'm 123"), ["I", "'m", " ", "1", "2", "3"]);
        assert_eq!(pieces("qwen2", "x12"), ["x", "1", "2"]);
        assert_eq!(pieces("default", "a12345.6"), ["a", "123", "45", ".", "6"]);
    }

    #[test]
    fn a_pattern_may_match_nothing() {
        assert_eq!(
            cut("x*", Behavior::Isolated, false, "axxäx").concat(),
            "axxäx"
        );
    }

    /// The examples of `tokenizers`' own documentation of `SplitDelimiterBehavior`.
    #[test]
    fn what_becomes_of_matches() {
        let cut = |behavior, invert| cut("-", behavior, invert, "the-final--countdown").join(" ");
        assert_eq!(cut(Behavior::Removed, false), "the final countdown");
        assert_eq!(cut(Behavior::Isolated, false), "the - final - - countdown");
        assert_eq!(
            cut(Behavior::MergedWithPrevious, false),
            "the- final- - countdown"
        );
        assert_eq!(
            cut(Behavior::MergedWithNext, false),
            "the -final - -countdown"
        );
        assert_eq!(cut(Behavior::Contiguous, false), "the - final -- countdown");
        assert_eq!(cut(Behavior::Removed, true), "- - -");
        assert_eq!(cut(Behavior::Isolated, true), "the - final - - countdown");
    }

    #[test]
    fn spaces_in_front() {
        let pieces = |steps: Vec<Step>, first| {
            let mut out = Vec::new();
            let splitter = Splitter::new(steps).expect("few steps");
            splitter
                .each("a b", first, &mut Steps::of(3), &mut |p| {
                    out.push(p.to_owned());
                    Ok(())
                })
                .expect("infallible");
            out.join("|")
        };
        let low_lines = |prefix| vec![Step::LowLines(prefix)];
        assert_eq!(
            pieces(low_lines(SpacePrefix::First), true),
            "\u{2581}a\u{2581}b"
        );
        assert_eq!(pieces(low_lines(SpacePrefix::First), false), "a\u{2581}b");
        assert_eq!(
            pieces(low_lines(SpacePrefix::Always), false),
            "\u{2581}a\u{2581}b"
        );
        let next = Splitter::cut("\u{2581}", Behavior::MergedWithNext, false).expect("compiles");
        assert_eq!(
            pieces(vec![Step::LowLines(SpacePrefix::Always), next], true),
            "\u{2581}a|\u{2581}b"
        );
        assert_eq!(
            pieces(vec![Step::Space, Step::Letters], false),
            "Ġaġb".replace('ġ', "Ġ")
        );
    }

    #[test]
    fn patterns_that_need_backtracking_are_refused() {
        let error = Splitter::cut(r"(?<=a)b", Behavior::Isolated, false).expect_err("look-behind");
        assert!(
            error
                .to_string()
                .starts_with(r#"the splitting pattern "(?<=a)b" can't be used: "#),
            "{error}"
        );
    }

    /// The longest patterns of models, on a long text of several scripts: a few steps a byte.
    #[test]
    fn patterns_of_known_models_fit() {
        let upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
        let lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
        let tail = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
        let rest = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let first = r"[^\r\n\p{L}\p{N}]?";
        let cases = format!("{first}{upper}*{lower}+{tail}|{first}{upper}+{lower}*{tail}|{rest}");
        let marks = concat!(
            r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        );
        let text = "The QUICK brown f\u{f6}x, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \
            \u{4f60}\u{597d}! \u{3053}\u{3093}\u{306b} it's 12345 <br/>\n\n    x = \
            y[1];\t\u{1F426}\r\n";
        let text = text.repeat(5000);
        // Each character of many once, and words of random Hangul: they need the most states.
        let scripts: String = (' '..'\u{30000}').step_by(37).collect();
        let mut seed = 1_u32;
        let mut random = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % most
        };
        let hangul: String = (0..60_000)
            .map(|_| match random(4) {
                0 => ' ',
                _ => char::from_u32(0xac00 + random(11_172)).unwrap_or(' '),
            })
            .collect();
        let texts = [&text, &scripts, &hangul];
        for (pattern, text) in [cases.as_str(), marks, GPT2, LLAMA3, QWEN2]
            .iter()
            .flat_map(|p| texts.map(|t| (p, t)))
        {
            let step = Splitter::cut(pattern, Behavior::Isolated, false)
                .expect("an automaton that is small enough");
            let mut steps = Steps::of(text.len());
            let mut bytes = 0;
            let each = Splitter::new(vec![step]).expect("one step").each(
                text,
                true,
                &mut steps,
                &mut |piece| {
                    bytes += piece.len();
                    Ok(())
                },
            );
            assert_eq!((each, bytes), (Ok(()), text.len()), "{pattern}");
            let most = if text == &hangul { 600 } else { 8 };
            assert!(
                steps.used() < (most * text.len() + (12 << 20)) as u64,
                "{pattern}: {} steps",
                steps.used()
            );
        }
    }
}
