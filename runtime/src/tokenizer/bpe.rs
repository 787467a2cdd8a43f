//! The byte-pair merges, done by the `tokenizers` crate.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Vocab as BpeVocab};

use super::TokenizerError;
use super::vocab::{Kind, Vocab, VocabParts};

/// Merges pieces of text into token ids.
#[derive(Debug)]
pub(super) struct Bpe {
    bpe: BPE,
    /// Whether there are characters that no token stands for.
    loses: bool,
    byte_fallback: bool,
}

impl Bpe {
    /// Builds the merger of a checked vocabulary. Control tokens are kept out of it, so no text can
    /// become one.
    pub(super) fn new(vocab: &Vocab, parts: VocabParts) -> Result<Self, TokenizerError> {
        let ids: HashMap<&str, (u32, Kind)> = vocab.iter().map(|(id, text, kind)| (text, (id, kind))).collect();
        let merges = check(&ids, parts.merges)?;
        let unknown = parts.unknown.and_then(|id| Some((id, vocab.text(id)?)));
        let texts: BpeVocab = vocab
            .iter()
            .filter(|(id, _, kind)| !kind.is_control() || unknown.is_some_and(|(unknown, _)| unknown == *id))
            .map(|(id, text, _)| (text.to_owned(), id))
            .collect();
        let scheme = &parts.scheme;
        let has_byte = |byte: u8| texts.contains_key(&format!("<{byte:#04X}>"));
        let loses = unknown.is_none() && !scheme.byte_level && !(scheme.byte_fallback && (0..=255).all(has_byte));
        let mut builder = BPE::builder()
            .vocab_and_merges(texts, merges)
            .byte_fallback(scheme.byte_fallback)
            .fuse_unk(scheme.fuse_unknown)
            .ignore_merges(scheme.ignore_merges);
        if let Some((_, text)) = unknown {
            builder = builder.unk_token(text.to_owned());
        }
        guarded(|| builder.build()).map(|bpe| Self { bpe, loses, byte_fallback: scheme.byte_fallback })
    }

    /// Appends the ids of one piece.
    pub(super) fn encode(&self, piece: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        if self.loses {
            piece.chars().try_for_each(|character| self.check(character))?;
        }
        let tokens = guarded(|| self.bpe.tokenize(piece))?;
        ids.extend(tokens.iter().map(|token| token.id));
        Ok(())
    }

    /// The crate drops characters that have no token, and no byte tokens.
    fn check(&self, character: char) -> Result<(), TokenizerError> {
        let mut buffer = [0; 4];
        let text = character.encode_utf8(&mut buffer);
        if self.bpe.token_to_id(text).is_some() {
            return Ok(());
        }
        let missing =
            text.bytes().find(|byte| !self.byte_fallback || self.bpe.token_to_id(&format!("<{byte:#04X}>")).is_none());
        missing.map_or(Ok(()), |byte| Err(TokenizerError::NoToken { character, byte }))
    }
}

/// Runs the crate's code, and turns a panic in it into an error: it has indexed past its buffers on
/// bad vocabularies before. Ours are checked first, so this is the second line; on wasm, where a
/// panic ends the program, the only line is the check. The one state it may leave behind is a cache
/// of finished words.
fn guarded<T>(f: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerError> {
    let fault = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "it panicked".into()),
    };
    Err(TokenizerError::Encoder { fault })
}

/// Checks that both sides and the result of every merge are tokens. Merges that make a control
/// token are left out: they could only forge one.
fn check(
    ids: &HashMap<&str, (u32, Kind)>,
    merges: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, TokenizerError> {
    let mut checked = Vec::with_capacity(merges.len());
    let mut joined = String::new();
    for (index, (left, right)) in merges.into_iter().enumerate() {
        joined.clear();
        joined.push_str(&left);
        joined.push_str(&right);
        let mut control = false;
        for (role, text) in [("left side", &left), ("right side", &right), ("result", &joined)] {
            let Some((_, kind)) = ids.get(text.as_str()) else {
                let text: String = text.chars().take(64).collect();
                return Err(TokenizerError::Merge {
                    index,
                    merge: format!("{left} {right}").chars().take(128).collect(),
                    fault: format!("its {role} {text:?} is not a token"),
                });
            };
            control |= kind.is_control() || *kind == Kind::Byte;
        }
        if !control {
            checked.push((left, right));
        }
    }
    Ok(checked)
}

/// Makes merges out of SentencePiece scores: every way to make a token out of two others, best
/// score first.
///
/// SentencePiece itself joins the pair whose result scores best, the leftmost of equals. As merges
/// have one rank each, two ways to make one token are put in the order `transformers` puts them,
/// longer left side first.
pub(super) fn merges_from_scores(tokens: &[String], kinds: &[Kind], scores: &[f32]) -> Vec<(String, String)> {
    let text = |id: usize| tokens[id].as_str();
    let ids: HashMap<&str, usize> = (0..tokens.len().min(kinds.len()))
        .filter(|&id| matches!(kinds[id], Kind::Normal | Kind::Unused))
        .map(|id| (text(id), id))
        .collect();
    let mut pairs = Vec::new();
    let known = tokens.len().min(scores.len());
    let normal = kinds.iter().take(known).enumerate().filter(|(_, kind)| **kind == Kind::Normal);
    for id in normal.map(|(id, _)| id).filter(|&id| text(id).len() <= super::vocab::MAX_TOKEN) {
        let first = pairs.len();
        for (at, _) in text(id).char_indices().skip(1) {
            let (left, right) = text(id).split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                pairs.push((id, left, right));
            }
        }
        pairs[first..].sort_by_key(|&(_, left, right)| (left, right));
    }
    let chars = |id: usize| text(id).chars().count();
    pairs.sort_by(|a, b| {
        scores[b.0].total_cmp(&scores[a.0]).then_with(|| (chars(b.1), chars(b.2)).cmp(&(chars(a.1), chars(a.2))))
    });
    pairs.into_iter().map(|(_, left, right)| (tokens[left].clone(), tokens[right].clone())).collect()
}
