//! Merges as ids: from the texts that files write them in, and from SentencePiece's scores.

use ahash::AHashMap;

use super::TokenizerError;
use super::vocab::{Kind, MAX_TOKEN};

/// Merges that scores may make for each token. Real vocabularies have two or three.
const PER_TOKEN: usize = 8;
/// Merges that scores may make besides: small vocabularies have long runs of one character.
const BESIDES: usize = 1 << 16;

/// Two tokens that become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub left: u32,
    pub right: u32,
    /// The token with the text of both.
    pub result: u32,
}

/// The two sides of a merge written as one string.
pub(super) fn split_merge(index: usize, merge: &str) -> Result<(&str, &str), TokenizerError> {
    match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((left, right))
        }
        _ => Err(TokenizerError::Merge {
            index,
            merge: merge.chars().take(128).collect(),
            cause: "it must be two tokens with a space between them".into(),
        }),
    }
}

/// The ids of merges that a file writes as texts. Of several tokens with one text, the last counts.
///
/// # Errors
/// A side or the result of a merge is not a token.
pub(super) fn merge_ids<'a>(
    tokens: &[String],
    merges: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Merge>, TokenizerError> {
    try_merge_ids(tokens, merges.map(Ok))
}

/// The same for merges of which some may be malformed.
///
/// # Errors
/// As [`merge_ids`]; or the first malformed merge.
pub(super) fn try_merge_ids<'a>(
    tokens: &[String],
    merges: impl ExactSizeIterator<Item = Result<(&'a str, &'a str), TokenizerError>>,
) -> Result<Vec<Merge>, TokenizerError> {
    let mut ids: AHashMap<&str, u32> = AHashMap::with_capacity(tokens.len());
    ids.extend(
        tokens
            .iter()
            .map(String::as_str)
            .zip(0..)
            .filter(|(text, _)| !text.is_empty()),
    );
    let mut all = Vec::with_capacity(merges.len());
    let mut joined = String::new();
    for (index, merge) in merges.enumerate() {
        let (left, right) = merge?;
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let id = |role: &str, text: &str| {
            ids.get(text).copied().ok_or_else(|| TokenizerError::Merge {
                index,
                merge: left
                    .chars()
                    .chain([' '])
                    .chain(right.chars())
                    .take(128)
                    .collect(),
                cause: format!(
                    "its {role} {:?} is not a token",
                    text.chars().take(64).collect::<String>()
                ),
            })
        };
        let (left, right) = (id("left side", left)?, id("right side", right)?);
        all.push(Merge {
            left,
            right,
            result: id("result", &joined)?,
        });
    }
    Ok(all)
}

/// The longest proper beginning or end of each token that is a token too: its id.
type Parents = Vec<u32>;

/// No token.
const NONE: u32 = u32::MAX;

/// Makes merges out of SentencePiece scores: every way to make a token out of two others, best
/// score first.
///
/// SentencePiece itself joins the pair whose result scores best, the leftmost of equals. As merges
/// have one rank each, two ways to make one token are put in the order `transformers` puts them,
/// longer left side first.
///
/// # Errors
/// There are more ways than a vocabulary that training made can have.
pub(super) fn merges_from_scores(
    tokens: &[String],
    kinds: &[Kind],
    scores: &[f32],
) -> Result<Vec<Merge>, TokenizerError> {
    let most = BESIDES + PER_TOKEN * tokens.len();
    let text = |id: u32| tokens[id as usize].as_str();
    let is = |id: u32, wanted: &[Kind]| {
        kinds
            .get(id as usize)
            .is_some_and(|kind| wanted.contains(kind))
    };
    let usable = |id: &u32| {
        is(*id, &[Kind::Normal, Kind::Unused]) && (1..=MAX_TOKEN).contains(&text(*id).len())
    };
    let mut ids: Vec<u32> = (0..tokens.len() as u32).filter(usable).collect();
    // Sorted, a token comes right before those that begin with it.
    ids.sort_unstable_by(|&a, &b| text(a).cmp(text(b)).then(b.cmp(&a)));
    // Of several tokens with one text, the last is a side of merges.
    let mut sides = ids.clone();
    sides.dedup_by(|next, kept| text(*next) == text(*kept));
    let beginnings = parents(&sides, tokens.len(), |part, whole| {
        text(whole).starts_with(text(part))
    });
    let backwards = |a: &u32, b: &u32| text(*a).bytes().rev().cmp(text(*b).bytes().rev());
    sides.sort_unstable_by(backwards);
    let endings = parents(&sides, tokens.len(), |part, whole| {
        text(whole).ends_with(text(part))
    });

    let mut merges: Vec<Merge> = Vec::new();
    let mut side = NONE;
    let (mut lefts, mut ways): (Vec<u32>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
    for &id in &ids {
        if side == NONE || text(side) != text(id) {
            side = id;
            // Both chains go from long to short: one walk finds the pairs that fill the token.
            lefts.clear();
            lefts.extend(chain(&beginnings, side));
            ways.clear();
            let mut left = lefts.iter().rev().peekable();
            for right in chain(&endings, side) {
                let wanted = text(side).len() - text(right).len();
                while left.next_if(|&&left| text(left).len() < wanted).is_some() {}
                if let Some(&left) = left.next_if(|&&left| text(left).len() == wanted) {
                    ways.push((left, right));
                }
            }
            ways.sort_unstable();
        }
        if is(id, &[Kind::Normal]) && (id as usize) < scores.len() {
            if merges.len() + ways.len() > most {
                return Err(TokenizerError::TooManyMerges {
                    tokens: tokens.len(),
                    most,
                });
            }
            merges.extend(ways.iter().map(|&(left, right)| Merge {
                left,
                right,
                result: id,
            }));
        }
    }
    // By score, and by the lengths of both sides; equals as the list of tokens has them.
    let chars: Vec<u32> = tokens
        .iter()
        .map(|text| text.chars().count() as u32)
        .collect();
    let lengths = |merge: &Merge| (chars[merge.left as usize], chars[merge.right as usize]);
    merges.sort_by_key(|merge| merge.result);
    merges.sort_by(|a, b| {
        let score = |merge: &Merge| scores[merge.result as usize];
        score(b)
            .total_cmp(&score(a))
            .then_with(|| lengths(b).cmp(&lengths(a)))
    });
    Ok(merges)
}

/// For each of `sorted`, the last one before it that is a part of it; [`NONE`] where none is.
fn parents(sorted: &[u32], tokens: usize, is_part: impl Fn(u32, u32) -> bool) -> Parents {
    let mut parents = vec![NONE; tokens];
    let mut open: Vec<u32> = Vec::new();
    for &id in sorted {
        while open.pop_if(|part| !is_part(*part, id)).is_some() {}
        parents[id as usize] = open.last().copied().unwrap_or(NONE);
        open.push(id);
    }
    parents
}

/// The parts of a token, from the longest on. The token itself is none.
fn chain(parents: &Parents, id: u32) -> impl Iterator<Item = u32> {
    let parent = |id: u32| {
        parents
            .get(id as usize)
            .copied()
            .filter(|&parent| parent != NONE)
    };
    std::iter::successors(parent(id), move |&id| parent(id))
}
