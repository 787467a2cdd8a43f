//! The byte-pair merges, done by the `tokenizers` crate.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Vocab as BpeVocab};

use super::TokenizerError;
use super::vocab::{Kind, Scheme, Vocab, VocabParts};

/// Merges pieces of text into token ids.
#[derive(Debug)]
pub(super) struct Bpe(BPE);

impl Bpe {
    /// Builds the merger of a checked vocabulary. Control tokens are kept out of it, so no text can become one.
    pub(super) fn new(vocab: &Vocab, parts: VocabParts) -> Result<Self, TokenizerError> {
        let ids: HashMap<&str, (u32, Kind)> = vocab.iter().map(|(id, text, kind)| (text, (id, kind))).collect();
        let merges = check(&ids, parts.merges)?;
        let sentence_piece = matches!(parts.scheme, Scheme::SentencePiece(_));
        let unknown = vocab.iter().find(|(.., kind)| *kind == Kind::Unknown).filter(|_| sentence_piece);
        let texts: BpeVocab = vocab
            .iter()
            .filter(|(id, _, kind)| !kind.is_control() || unknown.is_some_and(|(unknown, ..)| unknown == *id))
            .map(|(id, text, _)| (text.to_owned(), id))
            .collect();
        let ignore_merges = matches!(parts.scheme, Scheme::ByteLevel { ignore_merges: true, .. });
        let mut builder = BPE::builder()
            .vocab_and_merges(texts, merges)
            .byte_fallback(sentence_piece)
            .fuse_unk(sentence_piece)
            .ignore_merges(ignore_merges);
        if let Some((_, text, _)) = unknown {
            builder = builder.unk_token(text.to_owned());
        }
        guarded(|| builder.build()).map(Self)
    }

    /// Appends the ids of one piece.
    pub(super) fn encode(&self, piece: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let tokens = guarded(|| self.0.tokenize(piece))?;
        ids.extend(tokens.iter().map(|token| token.id));
        Ok(())
    }
}

/// Runs the crate's code, and turns a panic in it into an error: it has indexed past its buffers on bad vocabularies
/// before. Ours are checked first, so this is the second line; on wasm, where a panic ends the program, the only line
/// is the check. The one state it may leave behind is a cache of finished words.
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

/// Checks that both sides and the result of every merge are tokens. Merges that make a control token are left out:
/// they could only forge one.
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

/// Makes merges out of SentencePiece scores: every way to make a token out of two others, best score first.
///
/// SentencePiece itself joins the pair whose result scores best, the leftmost of equals. As merges have one rank each,
/// two ways to make one token are put in the order `transformers` puts them, longer left side first.
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
