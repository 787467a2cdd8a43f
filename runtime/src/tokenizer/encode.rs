//! Encodes text: tokens that are found as a whole, and between them words, in pieces.

use std::ops::Range;

use super::bpe::Buffers;
use super::normalize::normalize;
use super::scan::Steps;
use super::special::{Found, Search};
use super::{Openings, Special, Tokenizer, TokenizerError};

impl Tokenizer {
    /// The ids of a raw prompt: `text` as [`Special::Text`], behind the begin-of-text token where
    /// the model expects one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let begin = self.bos().filter(|_| self.adds_bos());
        let ids = self.encode(text, Special::Text)?;
        Ok(begin.into_iter().chain(ids).collect())
    }

    /// The ids of `text`. The begin-of-text token is not added.
    ///
    /// Characters that carry no text (control characters, and code points from U+40000 that Unicode
    /// leaves to private use) are dropped where the vocabulary has no token for their bytes, as the
    /// reference tokenizers do.
    ///
    /// # Errors
    /// [`TokenizerError::NoToken`] where the vocabulary has no token for a byte of any other
    /// character, and [`TokenizerError::BeyondEmbedding`] where the text needs a token that the
    /// model has no embedding for.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>, TokenizerError> {
        self.encode_at(
            text,
            match special {
                Special::Parse => Openings::All,
                Special::Text => Openings::At(&[]),
            },
        )
    }

    /// The ids of `text`, with control tokens only where they may begin. User-defined tokens are
    /// found everywhere.
    pub(crate) fn encode_at(
        &self,
        text: &str,
        openings: Openings<'_>,
    ) -> Result<Vec<u32>, TokenizerError> {
        self.check_bytes(text)?;
        let ids = Vec::with_capacity(text.len() / 3);
        let mut encoding = Encoding {
            ids,
            steps: Steps::of(text.len()),
            buffers: Buffers::default(),
        };
        match openings {
            Openings::All => self.stretch(text, 0..text.len(), true, &mut encoding)?,
            Openings::At(openings) => {
                let mut done = 0;
                for &at in openings.iter().filter(|&&at| text.is_char_boundary(at)) {
                    if at >= done
                        && let Some(Found { whole, id, .. }) = self.specials.at(text, at, done)
                    {
                        self.stretch(text, done..whole.start, false, &mut encoding)?;
                        encoding.ids.push(id);
                        done = whole.end;
                    }
                }
                self.stretch(text, done..text.len(), false, &mut encoding)?;
            }
        }
        self.check_rows(&encoding.ids)?;
        Ok(encoding.ids)
    }

    /// Finds the tokens that are matched as a whole, and encodes what lies between them.
    fn stretch(
        &self,
        text: &str,
        range: Range<usize>,
        control: bool,
        encoding: &mut Encoding,
    ) -> Result<(), TokenizerError> {
        let search = Search {
            control,
            normalized: false,
        };
        let mut done = range.start;
        while let Some(Found { whole, id, .. }) = self.specials.find(search, text, done..range.end)
        {
            self.normal(text, done..whole.start, control, encoding)?;
            encoding.ids.push(id);
            done = whole.end;
        }
        self.normal(text, done..range.end, control, encoding)
    }

    /// The same in normalised text, for the tokens that are looked for there.
    fn normal(
        &self,
        text: &str,
        range: Range<usize>,
        control: bool,
        encoding: &mut Encoding,
    ) -> Result<(), TokenizerError> {
        if range.is_empty() {
            return Ok(());
        }
        let first = range.start == 0;
        let text = normalize(&self.scheme.normalizer, &text[range])?;
        let search = Search {
            control,
            normalized: true,
        };
        let mut done = 0;
        while let Some(Found { whole, id, .. }) =
            self.specials.find(search, &text, done..text.len())
        {
            self.plain(&text[done..whole.start], first && done == 0, encoding)?;
            encoding.ids.push(id);
            done = whole.end;
        }
        self.plain(&text[done..], first && done == 0, encoding)
    }

    /// Encodes normalised text without any special token in it. `first` says that nothing comes
    /// before it.
    fn plain(
        &self,
        text: &str,
        first: bool,
        encoding: &mut Encoding,
    ) -> Result<(), TokenizerError> {
        let Encoding {
            ids,
            steps,
            buffers,
        } = encoding;
        self.scheme.splitter.each(text, first, steps, &mut |piece| {
            self.bpe.encode(piece, buffers, ids)
        })
    }

    /// Refuses ids that the model has no embedding for.
    pub(super) fn check_rows(&self, ids: &[u32]) -> Result<(), TokenizerError> {
        match ids.iter().find(|&&id| id >= self.rows) {
            None => Ok(()),
            Some(&id) => {
                let text = self.token(id).unwrap_or_default().into();
                Err(TokenizerError::BeyondEmbedding {
                    id,
                    text,
                    rows: self.rows,
                })
            }
        }
    }

    fn check_bytes(&self, text: &str) -> Result<(), TokenizerError> {
        if self.no_token.is_empty() {
            return Ok(());
        }
        let carries_text = |c: char| !c.is_control() && c < '\u{40000}';
        for character in text
            .chars()
            .filter(|&c| carries_text(c) || c.is_whitespace())
        {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                if self.no_token.contains(&byte) {
                    return Err(TokenizerError::NoToken { character, byte });
                }
            }
        }
        Ok(())
    }
}

/// A text on its way to ids.
struct Encoding {
    ids: Vec<u32>,
    /// The step budget that the splitting patterns have left.
    steps: Steps,
    buffers: Buffers,
}
