//! Corrects the kinds of tokens where a file gives a wrong type, or names tokens that do not exist.
//!
//! Chat templates and end rules rely on control tokens. A file that calls `<|im_end|>` a piece of
//! text would let people forge it, print it, and never end a reply. So some tokens are control
//! tokens whatever their type is: well-known ones ([`ENDS`], [`MARKERS`]), those spelled `<|…|>`,
//! and those that the file itself names as the beginning or the end of a text. A token that merges
//! make of ordinary text stays text: people write it without meaning to.

use std::collections::{HashMap, HashSet};
use std::fmt;

use aho_corasick::AhoCorasick;

use super::merges::Merge;
use super::normalize::{Normalizer, normalize};
use super::special::Matching;
use super::split::{SpacePrefix, Splitter, Step};
use super::vocab::{Kind, LOW_LINE, Scheme, VocabParts, byte_token};
use super::{TokenizerError, bytes};

/// Texts that end a turn or the whole text in the models Godwit runs. Control tokens with one of
/// these texts are ends even where the metadata names only one of them.
const ENDS: [&str; 17] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
];

/// Texts by which templates mark turns and texts, besides those spelled `<|…|>`.
const MARKERS: [&str; 10] = [
    "<s>",
    "<bos>",
    "[BOS]",
    "<start_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
];

/// How many examples a note names.
const SHOWN: usize = 3;

/// Length in bytes of an added token above which overlaps with it are not checked.
const LONG: usize = 256;

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

    /// Gives tokens that are treated as control tokens that kind.
    fn make_control(&mut self) {
        let guessed = self.merges_make_all;
        let named: HashSet<u32> = self
            .bos
            .iter()
            .chain(&self.ends)
            .chain(&self.special)
            .copied()
            .collect();
        let merged = self.made_by_merges(|id, text| is_marker(text) || named.contains(&id));
        let mut changed = Examples::default();
        for (id, (text, kind)) in (0_u32..).zip(self.tokens.iter().zip(&mut self.kinds)) {
            if !matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused) || text.is_empty() {
                continue;
            }
            let is_added = *kind == Kind::UserDefined;
            let made_by_merges = !is_added && merged.contains(&id);
            let is_end_or_begin =
                named.contains(&id) && !reads_as_text(&self.scheme, text, is_added, guessed);
            let is_control = !made_by_merges && (is_marker(text) || is_end_or_begin);
            // A normalizer would have to change the token before it is found: no template writes it
            // so.
            let is_as_written = self
                .matching
                .get(&id)
                .is_none_or(|matching| !matching.normalized)
                || normalize(&self.scheme.normalizer, text).is_ok_and(|normal| normal == *text);
            if is_control && is_as_written {
                let was = if is_added {
                    "user-defined text"
                } else {
                    "ordinary text"
                };
                changed.add(|| format!("{} ({id}, {was})", shown(text)));
                *kind = Kind::Control;
            }
        }
        if changed.count > 0 {
            let are = if changed.count == 1 {
                "is a token"
            } else {
                "are tokens"
            };
            self.notes.push(format!(
                "{changed} {are} by which turns or texts begin or end: treated as control"
            ));
        }
    }

    /// Those of the tokens that `matter` which merges make. None where every token that has parts
    /// has merges.
    fn made_by_merges(&self, matter: impl Fn(u32, &str) -> bool) -> HashSet<u32> {
        let texts = (0_u32..)
            .zip(&self.tokens)
            .filter(|(id, text)| matter(*id, text));
        let ids: HashMap<&str, u32> = texts.map(|(id, text)| (text.as_str(), id)).collect();
        let made = |merge: &Merge| ids.get(self.text(merge.result)).copied();
        if self.merges_make_all {
            HashSet::new()
        } else {
            self.merges.iter().filter_map(made).collect()
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

    /// An unknown token, and how it comes about, are the same to a vocabulary that has a token for
    /// every byte.
    fn forget_what_never_happens(&mut self) {
        let mut has = [false; 256];
        for (text, kind) in self
            .tokens
            .iter()
            .zip(&self.kinds)
            .filter(|(_, kind)| !kind.is_control())
        {
            let byte = match self.scheme.byte_level {
                true => single(text).and_then(bytes::byte),
                false if *kind == Kind::Byte => byte_token(text),
                false => None,
            };
            if let Some(byte) = byte {
                has[usize::from(byte)] = true;
            }
        }
        let reaches_bytes = self.scheme.byte_level || self.scheme.byte_fallback;
        if reaches_bytes && has.iter().all(|&has| has) {
            self.unknown = None;
            self.scheme.fuse_unknown = false;
            self.scheme.byte_fallback = !self.scheme.byte_level;
        }
        if self.unknown.is_none() {
            self.scheme.fuse_unknown = false;
        }
        self.adds_bos &= self.bos.is_some();
        if self.matching.values().any(|matching| matching.normalized) {
            if self.scheme.normalizer.is_empty() && !self.tokens_overlap() {
                self.matching
                    .values_mut()
                    .for_each(|matching| matching.normalized = false);
                self.matching
                    .retain(|_, matching| *matching != Matching::default());
            }
        } else if self.scheme.splitter.steps() == [Step::LowLines(SpacePrefix::Never)] {
            self.scheme.normalizer.push(Normalizer::low_lines());
            self.scheme.splitter = Splitter::default();
        }
    }

    /// Whether a token that is looked for in normalised text and one that is not may take the same
    /// letters: then it matters that the others are looked for first.
    fn tokens_overlap(&self) -> bool {
        let (mut normalized, mut others) = (Vec::new(), Vec::new());
        for (id, (text, kind)) in (0_u32..).zip(self.tokens.iter().zip(&self.kinds)) {
            if kind.is_control() || *kind == Kind::UserDefined {
                let is_normalized = self
                    .matching
                    .get(&id)
                    .is_some_and(|matching| matching.normalized);
                if is_normalized {
                    &mut normalized
                } else {
                    &mut others
                }
                .push(text.as_str());
            }
        }
        let (texts, bytes) = (
            || normalized.iter().chain(&others),
            |text: &&str| text.len(),
        );
        if texts().any(|text| text.len() > LONG) || texts().map(bytes).sum::<usize>() > LONG * LONG
        {
            return true;
        }
        // Two texts overlap where a beginning of one is an end of the other, or lies inside it.
        fn beginnings<'a>(texts: &[&'a str]) -> HashSet<&'a str> {
            let parts = |text: &'a str| {
                text.char_indices()
                    .skip(1)
                    .map(|(at, _)| &text[..at])
                    .chain([text])
            };
            texts.iter().flat_map(|text| parts(text)).collect()
        }
        let meets = |texts: &[&str], others: &[&str]| {
            let begin = beginnings(others);
            let inside = AhoCorasick::new(others);
            texts.iter().any(|text| {
                inside
                    .as_ref()
                    .map_or(true, |inside| inside.is_match(*text))
                    || text
                        .char_indices()
                        .any(|(at, _)| begin.contains(&text[at..]))
            })
        };
        meets(&normalized, &others) || meets(&others, &normalized)
    }
}

/// Whether a token that ends or begins something is text that people write all the same: a line
/// feed, a word.
fn reads_as_text(scheme: &Scheme, text: &str, is_added: bool, has_merges: bool) -> bool {
    let spelled: Option<Vec<u8>> = match scheme.byte_level && !is_added {
        true => text.chars().map(bytes::byte).collect(),
        false => Some(text.replace(LOW_LINE, " ").into_bytes()),
    };
    let is_white = spelled.is_some_and(|bytes| String::from_utf8_lossy(&bytes).trim().is_empty());
    let is_bracketed = text.starts_with(['<', '[']) && text.ends_with(['>', ']']);
    is_white || !is_added && (single(text).is_some() || has_merges && !is_bracketed)
}

/// Whether a text is one by which templates mark turns.
fn is_marker(text: &str) -> bool {
    let inside = |open: &str, close: &str| {
        let inside = text
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close));
        inside.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    };
    ENDS.contains(&text)
        || MARKERS.contains(&text)
        || inside("<|", "|>")
        || inside("<\u{ff5c}", "\u{ff5c}>")
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
