//! Speculation: tokens that are guessed, and computed together with the one that is certain.
//!
//! A pass over a few tokens takes little longer than a pass over one, because both read all
//! weights. The token after each of them is chosen as it always is; a guess counts where it is the
//! token that was chosen. So a reply is the same with and without speculation (Leviathan et al.
//! 2023; guesses from the text itself: Saxena 2023).

mod lookup;
mod pace;

use std::str::FromStr;

use thiserror::Error;

pub(crate) use lookup::Lookup;
pub(crate) use pace::Pace;

/// Most tokens that are guessed at once: with the certain one they are as many rows as the few-row
/// kernels compute together.
pub(crate) const MOST_DRAFTED: usize = 7;

/// What a further token of a pass is assumed to take until it was measured, as a share of a pass
/// over one: on a CPU, and on a GPU.
pub(crate) const FURTHER: [f64; 2] = [0.3, 0.1];

/// Whether, and how far, a reply's next tokens are guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speculation {
    /// No token is guessed.
    #[default]
    Off,
    /// As many as pays, by what was accepted and how long it took.
    Auto,
    /// So many, whenever there is something to guess from; at most 7.
    Tokens(u32),
}

/// A text that names no kind of speculation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not auto, off, or a number of tokens from 1 to 7")]
pub struct UnknownSpeculation {
    /// The text.
    pub text: String,
}

impl FromStr for Speculation {
    type Err = UnknownSpeculation;

    fn from_str(text: &str) -> Result<Self, UnknownSpeculation> {
        match (text, text.parse::<u32>()) {
            ("auto", _) => Ok(Self::Auto),
            ("off", _) => Ok(Self::Off),
            (_, Ok(tokens @ 1..=7)) => Ok(Self::Tokens(tokens)),
            _ => Err(UnknownSpeculation { text: text.into() }),
        }
    }
}

/// How many of the guesses were the tokens that were then chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speculated {
    /// Tokens that were guessed.
    pub drafted: usize,
    /// Those of them that were chosen.
    pub accepted: usize,
}

/// Leaves out the guesses from the first one on that the model does not know: the vocabulary of a
/// draft model may be padded further.
pub(crate) fn keep_known(guesses: &mut Vec<u32>, vocab: u32) {
    let known = guesses.iter().take_while(|&&token| token < vocab).count();
    guesses.truncate(known);
}

/// How many guesses were right: those before the first that differs from the token chosen there.
pub(crate) fn accepted(drafted: &[u32], chosen: &[u32]) -> usize {
    let pairs = drafted.iter().zip(chosen);
    pairs.take_while(|(guess, token)| guess == token).count()
}

#[cfg(test)]
mod tests {
    use super::keep_known;

    #[test]
    fn guesses_end_before_an_unknown_token() {
        for (mut guesses, known) in [
            (vec![], vec![]),
            (vec![511, 3], vec![511, 3]),
            (vec![4, 512, 3], vec![4]),
            (vec![u32::MAX], vec![]),
        ] {
            keep_known(&mut guesses, 512);
            assert_eq!(guesses, known);
        }
    }
}
