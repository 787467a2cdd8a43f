//! Normalizers: how text is changed before it is cut into words.

use std::borrow::Cow;

use tokenizers::NormalizedString;
use tokenizers::normalizers::{Lowercase, NFC, NFD, NFKC, NFKD, Strip, StripAccents};

use super::TokenizerError;
use super::vocab::LOW_LINE;

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
        Self::Replace { pattern: " ".into(), content: LOW_LINE.into() }
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
pub(super) fn normalize<'a>(steps: &[Normalizer], text: &'a str) -> Result<Cow<'a, str>, TokenizerError> {
    steps.iter().try_fold(Cow::Borrowed(text), |text, step| step.apply(text))
}

fn by_crate<'a>(text: &str, normalizer: &impl tokenizers::Normalizer) -> Result<Cow<'a, str>, TokenizerError> {
    let mut normal = NormalizedString::from(text);
    match normalizer.normalize(&mut normal) {
        Ok(()) => Ok(normal.get().to_owned().into()),
        Err(e) => Err(TokenizerError::Encoder { fault: e.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_order() {
        let low_lines = [Normalizer::Prepend("\u{2581}".into()), Normalizer::low_lines()];
        assert_eq!(normalize(&low_lines, "a b").as_deref(), Ok("\u{2581}a\u{2581}b"));
        assert_eq!(normalize(&low_lines, "").as_deref(), Ok(""));
        let folded = [Normalizer::Strip { left: true, right: true }, Normalizer::Nfd, Normalizer::StripAccents];
        assert_eq!(normalize(&folded, " \u{c9}t\u{e9}\n").as_deref(), Ok("Ete"));
        assert_eq!(normalize(&[Normalizer::Lowercase], "\u{3a3}AB").as_deref(), Ok("\u{3c3}ab"));
        assert_eq!(normalize(&[Normalizer::Nfc], "e\u{301}").as_deref(), Ok("\u{e9}"));
        assert_eq!(normalize(&[Normalizer::Nfkc], "\u{fb01}").as_deref(), Ok("fi"));
    }
}
