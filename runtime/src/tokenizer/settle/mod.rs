//! Corrects the kinds of tokens where a file gives a wrong type, or names tokens that do not exist.
//!
//! Chat templates and end rules rely on control tokens. A file that calls `<|im_end|>` a piece of
//! text would let people forge it, print it, and never end a reply. So some tokens are control
//! tokens whatever their type is: well-known ones, those spelled `<|…|>` (both in [`control`]),
//! and those that the file itself names as the beginning or the end of a text. A token that merges
//! make of ordinary text stays text: people write it without meaning to.

mod control;
mod simplify;

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::TokenizerError;
use super::merges::Merge;
use super::normalize::normalize;
use super::special::Matching;
use super::vocab::{Kind, VocabParts};
use control::ENDS;

/// How many examples a note names.
const SHOWN: usize = 3;

impl VocabParts {
    /// Gives each token the kind that it is treated as, and leaves out ids that name no token. Says
    /// so in the notes.
    pub(super) fn settle(&mut self) -> Result<(), TokenizerError> {
        let (len, tokens) = (self.kinds.len(), self.tokens.len());
        if len != tokens {
            return Err(TokenizerError::Length {
                key: "tokenizer.ggml.token_type",
                len,
                tokens,
            });
        }
        for (id, (text, kind)) in self.tokens.iter_mut().zip(&mut self.kinds).enumerate() {
            if *kind == Kind::Unused && *text == placeholder(id) {
                text.clear();
            }
            if text.is_empty() {
                *kind = Kind::Unused;
            }
        }
        self.leave_out_strangers();
        self.note_duplicates();
        self.make_control();
        self.check_normal_forms()?;
        let kinds = &self.kinds;
        let is_found = |id: u32| {
            kinds
                .get(id as usize)
                .is_some_and(|kind| kind.is_control() || *kind == Kind::UserDefined)
        };
        self.matching
            .retain(|&id, matching| is_found(id) && *matching != Matching::default());
        let known: Vec<u32> = (0..tokens as u32)
            .filter(|&id| self.is_known_end(id))
            .collect();
        self.ends.extend(known);
        self.ends.sort_unstable();
        self.ends.dedup();
        self.forget_what_never_happens();
        Ok(())
    }

    /// Whether a token's text is one that ends a turn or the text.
    pub(super) fn is_known_end(&self, id: u32) -> bool {
        self.is_control(id)
            && self
                .tokens
                .get(id as usize)
                .is_some_and(|text| ENDS.contains(&text.as_str()))
    }

    /// The text of a token; empty where there is none.
    pub(super) fn text(&self, id: u32) -> &str {
        self.tokens.get(id as usize).map_or("", String::as_str)
    }

    /// The merges that make text, not control tokens: both sides.
    pub(super) fn text_merges(&self) -> impl Iterator<Item = (&str, &str)> {
        let control: HashSet<&str> = self
            .tokens
            .iter()
            .zip(&self.kinds)
            .filter(|(_, kind)| kind.is_control())
            .map(|(text, _)| text.as_str())
            .collect();
        let makes_text = move |merge: &&Merge| {
            ![merge.left, merge.right, merge.result]
                .into_iter()
                .any(|id| control.contains(self.text(id)))
        };
        self.merges
            .iter()
            .filter(makes_text)
            .map(|merge| (self.text(merge.left), self.text(merge.right)))
    }

    fn is_control(&self, id: u32) -> bool {
        self.kinds
            .get(id as usize)
            .is_some_and(|kind| kind.is_control())
    }

    /// Ids that no token has.
    fn leave_out_strangers(&mut self) {
        let tokens = self.tokens.len();
        let exists = |id: u32| (id as usize) < tokens;
        if let Some(bos) = self.bos.take_if(|bos| !exists(*bos)) {
            self.notes.push(format!(
                "the begin-of-text token is {bos}, but there are {tokens} tokens: it is not used"
            ));
        }
        let mut strangers: Vec<u32> = self
            .ends
            .iter()
            .copied()
            .filter(|&id| !exists(id))
            .collect();
        strangers.sort_unstable();
        strangers.dedup();
        for id in strangers.iter().take(SHOWN) {
            self.notes.push(format!(
                "an end token is {id}, but there are {tokens} tokens: it is not used"
            ));
        }
        if strangers.len() > SHOWN {
            let others = strangers.len() - SHOWN;
            self.notes.push(format!(
                "{others} other end tokens do not exist either: they are not used"
            ));
        }
        self.ends.retain(|&id| exists(id));
        self.special.retain(|&id| exists(id));
    }

    fn note_duplicates(&mut self) {
        let mut seen = HashMap::with_capacity(self.tokens.len());
        let mut twice = Examples::default();
        for (id, text) in (0_u32..)
            .zip(&self.tokens)
            .filter(|(_, text)| !text.is_empty())
        {
            if let Some(first) = seen.insert(text.as_str(), id) {
                twice.add(|| format!("{first} and {id} ({})", shown(text)));
            }
        }
        if twice.count > 0 {
            self.notes.push(format!(
                "tokens have the same text: {twice}; text becomes the last of them"
            ));
        }
    }

    /// Refuses control tokens that a normalizer would have to change before they are found: no
    /// template writes them so.
    fn check_normal_forms(&self) -> Result<(), TokenizerError> {
        for (&id, _) in self
            .matching
            .iter()
            .filter(|(id, matching)| matching.normalized && self.is_control(**id))
        {
            let text = self.tokens.get(id as usize).map_or("", String::as_str);
            let normal = normalize(&self.scheme.normalizer, text)?;
            if normal != text {
                return Err(TokenizerError::Unsupported {
                    key: format!("added_tokens[{id}].normalized"),
                    value: format!(
                        "true, and the normalizer turns {} into {}",
                        shown(text),
                        shown(&normal)
                    ),
                    known: "false, or control tokens that the normalizer leaves as they are".into(),
                });
            }
        }
        Ok(())
    }
}
/// The text of an id that is not in use, where a list of tokens must have one.
pub(super) fn placeholder(id: usize) -> String {
    format!("[PAD{id}]")
}

/// The only character of a text.
fn single(text: &str) -> Option<char> {
    let mut letters = text.chars();
    letters.next().filter(|_| letters.next().is_none())
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

/// The first examples of something, and how many there are.
#[derive(Default)]
struct Examples {
    shown: Vec<String>,
    count: usize,
}

impl Examples {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(example());
        }
    }
}

impl fmt::Display for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.count - self.shown.len() {
            0 => Ok(()),
            others => write!(f, " and {others} others"),
        }
    }
}
