//! Pre-tokenizers: how text is cut into words before byte-pair merges, which never cross a cut.
//!
//! The patterns are the models' own. Those that tell apart a run's last white space by `\s+(?!\S)` are used without
//! the look-ahead (see [`Step`]), so all run on an automaton in linear time: no text can make one explode or fail.

use regex_automata::{Input, meta::Regex, util::syntax};

use super::TokenizerError;

/// The cut of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// The cut of Llama 3: contractions in any case, numbers in threes, line ends kept with what comes before.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The cut of Qwen 2: Llama 3's, each digit alone.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";
const DIGITS: &str = r"\p{N}+";

/// The tails by which patterns give a run's last white space to the word after it.
const TAILS: [&str; 2] = [r"|\s+(?!\S)|\s+", r"|\s+(?!\S)"];

/// How deep cuts may be nested.
const MAX_STEPS: usize = 16;

/// A pre-tokenizer: cuts, one after the other, each cutting the pieces of the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Splitter {
    steps: Vec<Step>,
    patterns: Vec<String>,
}

/// One cut. What its pattern matches is a piece, and so is what lies between two matches.
///
/// A pattern ending in `|\s+(?!\S)|\s+` is compiled as two: what comes before, and `\s+`. Where only the second
/// matches, and a word follows, the run of white space gives its last character back. That is what the look-ahead says.
#[derive(Clone, Debug)]
struct Step {
    regex: Regex,
}

const BODY: usize = 0;

impl Step {
    fn new(pattern: &str) -> Result<Self, TokenizerError> {
        let body = TAILS.iter().find_map(|tail| pattern.strip_suffix(tail));
        let patterns = match body {
            Some(body) => vec![body, r"\s+"],
            None => vec![pattern],
        };
        let regex =
            Regex::builder().syntax(syntax::Config::new().nest_limit(64)).build_many(&patterns).map_err(|e| {
                TokenizerError::Pattern {
                    pattern: pattern.chars().take(200).collect(),
                    fault: e.syntax_error().map_or_else(|| e.to_string(), ToString::to_string),
                }
            })?;
        Ok(Self { regex })
    }

    /// The end of the match at or after `from`, and its start.
    fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.regex.find(Input::new(text).range(from..))?;
        let (start, end) = (found.start(), found.end());
        if found.pattern().as_usize() == BODY || end == text.len() {
            return Some((start, end));
        }
        let last = text[start..end].char_indices().next_back();
        match last {
            Some((at, _)) if at > 0 => Some((start, start + at)),
            _ => Some((start, end)),
        }
    }
}

impl Splitter {
    /// The names that `tokenizer.ggml.pre` may have.
    pub(super) const KNOWN: &str = "llama-bpe, llama3, llama-v3, smollm, gpt-2, qwen2, default";

    /// The pre-tokenizer by its name in `tokenizer.ggml.pre`; none where the name is unknown.
    pub(super) fn named(pre: &str) -> Option<Result<Self, TokenizerError>> {
        Some(match pre {
            "llama-bpe" | "llama3" | "llama-v3" => Self::new(&[LLAMA3]),
            "smollm" => Self::new(&[DIGIT, GPT2]),
            "gpt-2" => Self::new(&[GPT2]),
            "qwen2" => Self::new(&[QWEN2]),
            // What llama.cpp does for vocabularies it has no name for.
            "default" => Self::new(&[r"[\p{P}$+<=>^~|]+", GPT2, DIGITS, r"[0-9][0-9][0-9]"]),
            _ => return None,
        })
    }

    /// The pre-tokenizer that cuts by these patterns, in this order.
    pub(super) fn new(patterns: &[impl AsRef<str>]) -> Result<Self, TokenizerError> {
        if patterns.len() > MAX_STEPS {
            return Err(TokenizerError::Unsupported {
                key: "pre_tokenizer".into(),
                value: format!("{} steps", patterns.len()),
                known: format!("at most {MAX_STEPS}"),
            });
        }
        let steps = patterns.iter().map(|p| Step::new(p.as_ref()));
        let patterns = patterns.iter().map(|p| p.as_ref().to_owned()).collect();
        Ok(Self { steps: steps.collect::<Result<_, _>>()?, patterns })
    }

    /// The patterns.
    pub(super) fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The name in `tokenizer.ggml.pre` of these patterns.
    pub(super) fn name(&self) -> Option<&'static str> {
        let named: [(&str, &[&str]); 4] =
            [("llama-bpe", &[LLAMA3]), ("smollm", &[DIGIT, GPT2]), ("gpt-2", &[GPT2]), ("qwen2", &[QWEN2])];
        named.into_iter().find(|(_, patterns)| self.patterns == *patterns).map(|(name, _)| name)
    }

    /// The patterns of `ByteLevel` and `Digits` in a `tokenizer.json`.
    pub(super) const fn gpt2() -> &'static str {
        GPT2
    }

    /// See [`Splitter::gpt2`].
    pub(super) const fn digits(individual: bool) -> &'static str {
        if individual { DIGIT } else { DIGITS }
    }

    /// Hands out the pieces of `text` in order. Together they are `text`; none is empty.
    pub(super) fn each<E>(&self, text: &str, piece: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        split(&self.steps, text, piece)
    }
}

fn split<E>(steps: &[Step], text: &str, piece: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let Some((step, rest)) = steps.split_first() else {
        return if text.is_empty() { Ok(()) } else { piece(text) };
    };
    let (mut done, mut from) = (0, 0);
    while let Some((start, end)) = step.find(text, from) {
        split(rest, &text[done..start], piece)?;
        split(rest, &text[start..end], piece)?;
        done = end;
        // A pattern from a file may match nothing at all: go on behind the next character.
        from = match text[end..].chars().next() {
            Some(c) if start == end => end + c.len_utf8(),
            Some(_) => end,
            None => return Ok(()),
        };
    }
    split(rest, &text[done..], piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pre: &str, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let splitter = Splitter::named(pre).expect("known").expect("compiles");
        splitter
            .each(text, &mut |p| {
                out.push(p.to_owned());
                Ok::<_, ()>(())
            })
            .expect("infallible");
        assert_eq!(out.concat(), text);
        out
    }

    #[test]
    fn a_run_of_white_space_gives_its_last_to_the_word() {
        assert_eq!(pieces("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(pieces("gpt-2", "a\n\nb  "), ["a", "\n", "\n", "b", "  "]);
        assert_eq!(pieces("llama-bpe", "a\n \n  b"), ["a", "\n \n", " ", " b"]);
        assert_eq!(pieces("llama-bpe", "a\t\tb\u{a0}"), ["a", "\t", "\tb", "\u{a0}"]);
    }

    #[test]
    fn numbers_and_contractions() {
        assert_eq!(pieces("llama-bpe", "I'M 12345"), ["I", "'M", " ", "123", "45"]);
        assert_eq!(pieces("smollm", "I'm 123"), ["I", "'m", " ", "1", "2", "3"]);
        assert_eq!(pieces("qwen2", "x12"), ["x", "1", "2"]);
        assert_eq!(pieces("default", "a12345.6"), ["a", "123", "45", ".", "6"]);
    }

    #[test]
    fn a_pattern_may_match_nothing() {
        let splitter = Splitter::new(&["x*"]).expect("compiles");
        let mut out = Vec::new();
        splitter
            .each("axxäx", &mut |p| {
                out.push(p.to_owned());
                Ok::<_, ()>(())
            })
            .expect("infallible");
        assert_eq!(out.concat(), "axxäx");
    }

    #[test]
    fn patterns_that_need_backtracking_are_refused() {
        let error = Splitter::new(&[r"(?<=a)b"]).expect_err("look-behind");
        assert!(error.to_string().starts_with(r#"the splitting pattern "(?<=a)b" can't be used: "#), "{error}");
    }
}
