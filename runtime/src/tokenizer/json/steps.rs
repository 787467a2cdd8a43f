//! The steps of a `tokenizer.json`: normalizers, pre-tokenizers, decoders and post-processors.

use serde_json::Value;

use super::unsupported;
use crate::tokenizer::TokenizerError;
use crate::tokenizer::normalize::{MAX_NORMALIZERS, Normalizer};
use crate::tokenizer::split::{Behavior, SpacePrefix, Splitter, Step};
use crate::tokenizer::vocab::{LOW_LINE, Scheme};

/// The members of a `Sequence`; a single step is a sequence of one, and none is empty.
fn members<'a>(value: Option<&'a Value>, list: &str) -> Vec<&'a Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(value) if kind(value) == "Sequence" => value[list]
            .as_array()
            .map(|all| all.iter().collect())
            .unwrap_or_default(),
        Some(value) => vec![value],
    }
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

const SPACE: &str = " ";
const LOW_LINES: &str = "\u{2581}";

pub(super) fn scheme(
    normalizer: Option<&Value>,
    pre_tokenizer: Option<&Value>,
) -> Result<Scheme, TokenizerError> {
    let normalizers = members(normalizer, "normalizers");
    if normalizers.len() > MAX_NORMALIZERS {
        let (value, known) = (
            format!("{} steps", normalizers.len()),
            format!("at most {MAX_NORMALIZERS}"),
        );
        return Err(unsupported("normalizer", value, &known));
    }
    let normalizer: Vec<Normalizer> = normalizers
        .into_iter()
        .map(normalizer_step)
        .collect::<Result<_, _>>()?;
    let mut low_lines = normalizer.contains(&Normalizer::low_lines());
    let mut steps = Vec::new();
    for step in members(pre_tokenizer, "pretokenizers") {
        // Where all spaces are low lines, nothing is cut at spaces.
        let no_space_is_left = low_lines && step["pattern"]["String"] == SPACE;
        if !(kind(step) == "Split" && no_space_is_left) {
            pre_tokenizer_steps(step, &mut steps)?;
        }
        low_lines |= kind(step) == "Metaspace";
    }
    let letters = steps.iter().filter(|&step| *step == Step::Letters).count();
    match (letters, low_lines) {
        (1, false) | (0, true) => {
            let splitter = Splitter::new(steps)?;
            Ok(Scheme {
                normalizer,
                splitter,
                byte_level: letters == 1,
                ..Scheme::default()
            })
        }
        _ => Err(unsupported(
            "pre_tokenizer",
            "neither byte-level nor SentencePiece-style",
            "ByteLevel, or spaces replaced by \u{2581}",
        )),
    }
}

fn normalizer_step(step: &Value) -> Result<Normalizer, TokenizerError> {
    let set = |key: &str| step[key] != false;
    Ok(
        match (
            kind(step),
            step["prepend"].as_str(),
            step["pattern"]["String"].as_str(),
            step["content"].as_str(),
        ) {
            ("NFC", ..) => Normalizer::Nfc,
            ("NFD", ..) => Normalizer::Nfd,
            ("NFKC", ..) => Normalizer::Nfkc,
            ("NFKD", ..) => Normalizer::Nfkd,
            ("Lowercase", ..) => Normalizer::Lowercase,
            ("StripAccents", ..) => Normalizer::StripAccents,
            ("Strip", ..) => Normalizer::Strip {
                left: set("strip_left"),
                right: set("strip_right"),
            },
            ("Prepend", Some(prefix), ..) => Normalizer::Prepend(prefix.into()),
            ("Replace", _, Some(pattern), Some(content)) if !pattern.is_empty() => {
                Normalizer::Replace {
                    pattern: pattern.into(),
                    content: content.into(),
                }
            }
            _ => {
                let known = "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, \
                    Replace of a text";
                return Err(unsupported("normalizer", step, known));
            }
        },
    )
}

/// Appends the steps of a pre-tokenizer.
fn pre_tokenizer_steps(step: &Value, steps: &mut Vec<Step>) -> Result<(), TokenizerError> {
    let refuse = |known: &str| Err(unsupported("pre_tokenizer", step, known));
    match kind(step) {
        "Split" => {
            let pattern = &step["pattern"];
            let pattern = match (pattern["Regex"].as_str(), pattern["String"].as_str()) {
                (Some(regex), None) => regex.to_owned(),
                (None, Some(text)) if !text.is_empty() => literal(text),
                _ => return refuse("a pattern that is a Regex, or a String"),
            };
            let Some(behavior) = behavior(&step["behavior"]) else {
                return refuse(
                    "a behavior that is Isolated, Removed, Contiguous, MergedWithPrevious, \
                     MergedWithNext",
                );
            };
            let invert = match &step["invert"] {
                Value::Null => false,
                Value::Bool(invert) => *invert,
                _ => return refuse("an invert that is true or false"),
            };
            steps.push(Splitter::cut(&pattern, behavior, invert)?);
        }
        "Digits" => {
            let pattern = Splitter::digits(step["individual_digits"] == true);
            steps.push(Splitter::cut(pattern, Behavior::Isolated, false)?);
        }
        "Punctuation" => {
            let behavior = match &step["behavior"] {
                Value::Null => Some(Behavior::Isolated),
                given => behavior(given),
            };
            let Some(behavior) = behavior else {
                return refuse("a known behavior");
            };
            // Unicode's punctuation, and the rest of ASCII's.
            steps.push(Splitter::cut(r"[\p{P}$+<=>^`|~]", behavior, false)?);
        }
        "ByteLevel" => {
            if step["add_prefix_space"] == true {
                steps.push(Step::Space);
            }
            if step["use_regex"] != false {
                steps.push(Splitter::cut(Splitter::gpt2(), Behavior::Isolated, false)?);
            }
            steps.push(Step::Letters);
        }
        "Metaspace" if step["replacement"] == LOW_LINES => {
            let scheme = step["prepend_scheme"].as_str();
            let prefix = match (scheme, &step["add_prefix_space"]) {
                (Some("never"), _) => SpacePrefix::Never,
                (Some("first"), Value::Null | Value::Bool(true)) => SpacePrefix::First,
                (Some("always") | None, Value::Null | Value::Bool(true)) => SpacePrefix::Always,
                _ => {
                    return refuse(
                        "a prepend_scheme that is first, always or never, and add_prefix_space \
                         alike",
                    );
                }
            };
            steps.push(Step::LowLines(prefix));
            if step["split"] != false {
                steps.push(Splitter::cut(LOW_LINES, Behavior::MergedWithNext, false)?);
            }
        }
        _ => return refuse("Split, Digits, Punctuation, ByteLevel, Metaspace with \u{2581}"),
    }
    Ok(())
}

fn behavior(value: &Value) -> Option<Behavior> {
    Some(match value.as_str()? {
        "Isolated" => Behavior::Isolated,
        "Removed" => Behavior::Removed,
        "Contiguous" => Behavior::Contiguous,
        "MergedWithPrevious" => Behavior::MergedWithPrevious,
        "MergedWithNext" => Behavior::MergedWithNext,
        _ => return None,
    })
}

/// A pattern that matches a text and nothing else.
fn literal(text: &str) -> String {
    text.chars()
        .map(|c| format!("\\x{{{:x}}}", c as u32))
        .collect()
}

/// The settings of a decoder that the scheme does not determine.
pub(super) struct Decoded {
    /// Whether the first space is dropped; none where there is no decoder.
    pub strips_space: Option<bool>,
    /// Whether `<0x0A>` stands for a byte.
    pub byte_fallback: bool,
}

pub(super) fn decoder(
    decoder: Option<&Value>,
    byte_level: bool,
) -> Result<Decoded, TokenizerError> {
    let steps = members(decoder, "decoders");
    let known = match byte_level {
        true => "ByteLevel, as the pre-tokenizer is byte-level",
        false => {
            "Metaspace; Replace of \u{2581} by a space, ByteFallback, Fuse, Strip of a space at \
             the start"
        }
    };
    let mut decoded = Decoded {
        strips_space: (!steps.is_empty()).then_some(false),
        byte_fallback: false,
    };
    for step in steps {
        match kind(step) {
            "ByteLevel" if byte_level => {}
            "Fuse" => {}
            "ByteFallback" if !byte_level => decoded.byte_fallback = true,
            "Replace"
                if !byte_level
                    && step["pattern"]["String"] == LOW_LINES
                    && step["content"] == SPACE => {}
            "Strip"
                if !byte_level
                    && step["content"] == SPACE
                    && step["stop"] == 0
                    && step["start"] == 1 =>
            {
                decoded.strips_space = Some(true);
            }
            "Metaspace" if !byte_level && step["replacement"] == LOW_LINES => {
                let never = step["prepend_scheme"] == "never" || step["add_prefix_space"] == false;
                decoded.strips_space = Some(!never);
            }
            _ => return Err(unsupported("decoder", step, known)),
        }
    }
    Ok(decoded)
}

pub(super) fn puts_space_in_front(scheme: &Scheme) -> bool {
    let by_normalizer = scheme
        .normalizer
        .contains(&Normalizer::Prepend(LOW_LINE.into()));
    let by_step =
        |step: &Step| matches!(step, Step::LowLines(prefix) if *prefix != SpacePrefix::Never);
    !scheme.byte_level && (by_normalizer || scheme.splitter.steps().iter().any(by_step))
}

/// The tokens that a post-processor puts around every text.
#[derive(Default)]
pub(super) struct Around {
    pub before: Option<String>,
    pub after: Option<String>,
}

pub(super) fn around(processor: &Value) -> Result<Around, TokenizerError> {
    let mut around = Around::default();
    for step in members(Some(processor), "processors") {
        let refuse = || {
            unsupported(
                "post_processor",
                step,
                "ByteLevel; TemplateProcessing with a token before or after the text",
            )
        };
        match kind(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let mut is_after = false;
                for piece in step["single"].as_array().ok_or_else(refuse)? {
                    let slot = if is_after {
                        &mut around.after
                    } else {
                        &mut around.before
                    };
                    match (piece["SpecialToken"]["id"].as_str(), slot) {
                        (Some(token), slot @ None) => *slot = Some(token.into()),
                        (None, _) if piece["Sequence"]["id"] == "A" && !is_after => is_after = true,
                        _ => return Err(refuse()),
                    }
                }
            }
            _ => return Err(refuse()),
        }
    }
    Ok(around)
}
