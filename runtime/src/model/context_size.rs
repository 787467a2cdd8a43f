//! How long a context is to be, as people write it.

use std::str::FromStr;

/// How many tokens a context is to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextSize {
    /// The model's whole window. Memory is taken as it fills.
    #[default]
    Window,
    /// As many as there is memory for, up to the window.
    Max,
    /// This many.
    Tokens(u32),
}

/// A text that is no [`ContextSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no number of tokens; write one such as 8192, 128k, 1m, or max for what fits the \
     memory"
)]
pub struct BadContextSize(String);

impl FromStr for ContextSize {
    type Err = BadContextSize;

    fn from_str(text: &str) -> Result<Self, BadContextSize> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        tokens(text)
            .filter(|&tokens| tokens > 0)
            .map(Self::Tokens)
            .ok_or_else(|| BadContextSize(text.into()))
    }
}

/// A number of tokens: 4096, 128k (times 1,024), 1m (times 1,048,576).
pub fn tokens(text: &str) -> Option<u32> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!("max".parse(), Ok(ContextSize::Max));
        assert_eq!("1m".parse(), Ok(ContextSize::Tokens(1 << 20)));
        assert_eq!("128K".parse(), Ok(ContextSize::Tokens(128 << 10)));
        assert_eq!("4096".parse(), Ok(ContextSize::Tokens(4096)));
        for bad in ["", "0", "k", "-1", "+1", "1.5k", "5000m", "12 k", "é"] {
            assert!(bad.parse::<ContextSize>().is_err(), "{bad}");
        }
    }
}
