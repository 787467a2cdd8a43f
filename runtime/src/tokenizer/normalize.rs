//! Normalizers: how text is changed before it is cut into words.

use std::borrow::Cow;

use tokenizers::NormalizedString;
use tokenizers::normalizers::{Lowercase, NFC, NFD, NFKC, NFKD, Strip, StripAccents};

use super::TokenizerError;
use super::vocab::LOW_LINE;

/// The most steps of a normalizer. Real ones have five.
pub(super) const MAX_NORMALIZERS: usize = 16;

/// The longest result of a normalizer: so many bytes for each byte, and a few more. NFKC makes 11
/// of one, and a prefix is a space.
const PER_BYTE: usize = 32;
const BESIDES: usize = 64;

/// One step of a normalizer, named as in a `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Normalizer {
    /// A Unicode normal form.
    Nfc,
    /// A Unicode normal form.
    Nfd,
    /// A Unicode normal form.
    Nfkc,
    /// A Unicode normal form.
    Nfkd,
    /// Each character in lower case.
    Lowercase,
    /// Combining marks are dropped.
    StripAccents,
    /// White space is dropped at the start, at the end, or at both.
    Strip { left: bool, right: bool },
    /// A text is put in front of every stretch that is not empty.
    Prepend(String),
    /// A literal text is replaced wherever it occurs. It is not empty.
    Replace { pattern: String, content: String },
}

impl Normalizer {
    /// SentencePiece's way to write spaces.
    pub(super) fn low_lines() -> Self {
        Self::Replace {
            pattern: " ".into(),
            content: LOW_LINE.into(),
        }
    }

    /// How long a step of text makes `text`, where it makes it longer by texts from the file.
    fn grown(&self, text: &str) -> usize {
        match self {
            Self::Prepend(prefix) => text.len().saturating_add(prefix.len()),
            Self::Replace { pattern, content } if content.len() > pattern.len() => {
                let growth = content.len() - pattern.len();
                text.len().saturating_add(
                    text.matches(pattern.as_str())
                        .count()
                        .saturating_mul(growth),
                )
            }
            _ => text.len(),
        }
    }

    fn apply<'a>(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, TokenizerError> {
        let plain = text.is_ascii();
        Ok(match self {
            // Letters, digits and punctuation of ASCII are in every normal form.
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd | Self::StripAccents if plain => text,
            Self::Nfc => by_crate(&text, &NFC)?,
            Self::Nfd => by_crate(&text, &NFD)?,
            Self::Nfkc => by_crate(&text, &NFKC)?,
            Self::Nfkd => by_crate(&text, &NFKD)?,
            Self::StripAccents => by_crate(&text, &StripAccents)?,
            Self::Lowercase => by_crate(&text, &Lowercase)?,
            Self::Strip { left, right } => by_crate(&text, &Strip::new(*left, *right))?,
            Self::Prepend(_) if text.is_empty() => text,
            Self::Prepend(prefix) => format!("{prefix}{text}").into(),
            Self::Replace { pattern, .. } if !text.contains(pattern.as_str()) => text,
            Self::Replace { pattern, content } => text.replace(pattern.as_str(), content).into(),
        })
    }
}

/// Applies the steps to a stretch of text, in order.
///
/// # Errors
/// A step makes the text many times as long.
pub(super) fn normalize<'a>(
    steps: &[Normalizer],
    text: &'a str,
) -> Result<Cow<'a, str>, TokenizerError> {
    let bytes = text.len();
    let most = bytes.saturating_mul(PER_BYTE).saturating_add(BESIDES);
    steps
        .iter()
        .try_fold(Cow::Borrowed(text), |text, step| match step.grown(&text) {
            grown if grown > most => Err(TokenizerError::Normalized { most, bytes }),
            _ => step.apply(text),
        })
}

fn by_crate<'a>(
    text: &str,
    normalizer: &impl tokenizers::Normalizer,
) -> Result<Cow<'a, str>, TokenizerError> {
    let mut normal = NormalizedString::from(text);
    match normalizer.normalize(&mut normal) {
        Ok(()) => Ok(normal.get().to_owned().into()),
        Err(e) => Err(TokenizerError::Encoder {
            cause: e.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_order() {
        let low_lines = [
            Normalizer::Prepend("\u{2581}".into()),
            Normalizer::low_lines(),
        ];
        assert_eq!(
            normalize(&low_lines, "a b").as_deref(),
            Ok("\u{2581}a\u{2581}b")
        );
        assert_eq!(normalize(&low_lines, "").as_deref(), Ok(""));
        let folded = [
            Normalizer::Strip {
                left: true,
                right: true,
            },
            Normalizer::Nfd,
            Normalizer::StripAccents,
        ];
        assert_eq!(normalize(&folded, " \u{c9}t\u{e9}\n").as_deref(), Ok("Ete"));
        assert_eq!(
            normalize(&[Normalizer::Lowercase], "\u{3a3}AB").as_deref(),
            Ok("\u{3c3}ab")
        );
        assert_eq!(
            normalize(&[Normalizer::Nfc], "e\u{301}").as_deref(),
            Ok("\u{e9}")
        );
        assert_eq!(
            normalize(&[Normalizer::Nfkc], "\u{fb01}").as_deref(),
            Ok("fi")
        );
    }
    #[test]
    fn steps_that_make_text_explode_are_refused() {
        let double = Normalizer::Replace {
            pattern: "a".into(),
            content: "aa".into(),
        };
        assert_eq!(
            normalize(&vec![double.clone(); 5], "aaaa").map(|text| text.len()),
            Ok(128)
        );
        let refused = normalize(&vec![double; MAX_NORMALIZERS], "aaaa");
        assert_eq!(
            refused,
            Err(TokenizerError::Normalized {
                most: 192,
                bytes: 4
            })
        );
        let long = Normalizer::Prepend("x".repeat(1 << 20));
        assert!(normalize(&[long], "a").is_err());
        // The most that Unicode makes of a character.
        let ligatures = "\u{fdfa}".repeat(1000);
        assert!(normalize(&[Normalizer::Nfkc, Normalizer::Nfkd], &ligatures).is_ok());
    }
}
