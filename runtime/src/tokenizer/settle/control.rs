//! Which tokens are control tokens, whatever type the file gives them.

use std::collections::{HashMap, HashSet};

use super::{Examples, shown, single};
use crate::tokenizer::bytes;
use crate::tokenizer::merges::Merge;
use crate::tokenizer::normalize::normalize;
use crate::tokenizer::vocab::{Kind, LOW_LINE, Scheme, VocabParts};

/// Texts that end a turn or the whole text in the models Godwit runs. Control tokens with one of
/// these texts are ends even where the metadata names only one of them.
pub(super) const ENDS: [&str; 17] = [
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

impl VocabParts {
    /// Gives tokens that are treated as control tokens that kind.
    pub(super) fn make_control(&mut self) {
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
