//! Settings of a tokenizer that never take effect are left out.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;

use super::single;
use crate::tokenizer::bytes;
use crate::tokenizer::normalize::Normalizer;
use crate::tokenizer::special::Matching;
use crate::tokenizer::split::{SpacePrefix, Splitter, Step};
use crate::tokenizer::vocab::{Kind, VocabParts, byte_token};

/// Length in bytes of an added token above which overlaps with it are not checked.
const LONG: usize = 256;

impl VocabParts {
    /// An unknown token, and how it comes about, are the same to a vocabulary that has a token for
    /// every byte.
    pub(super) fn forget_what_never_happens(&mut self) {
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
