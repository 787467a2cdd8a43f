//! Tests of merges against Hugging Face's `tokenizers`.

use proptest::prelude::*;
use tokenizers::Model as _;
use tokenizers::models::bpe::BPE;

use super::*;
use crate::tokenizer::merges::merge_ids;
use crate::tokenizer::vocab::Scheme;

fn parts(
    tokens: &[String],
    merges: &[(String, String)],
    scheme: Scheme,
    unknown: Option<u32>,
) -> VocabParts {
    let pairs = merges
        .iter()
        .map(|(left, right)| (left.as_str(), right.as_str()));
    let kinds = (0..tokens.len() as u32).map(|id| {
        if Some(id) == unknown {
            Kind::Unknown
        } else {
            Kind::Normal
        }
    });
    VocabParts {
        merges: merge_ids(tokens, pairs).expect("tokens"),
        kinds: kinds.collect(),
        tokens: tokens.to_vec(),
        scheme,
        unknown,
        ..VocabParts::default()
    }
}

fn built(mut parts: VocabParts) -> Bpe {
    let vocab = Vocab::take(&mut parts).expect("a vocabulary");
    Bpe::new(&vocab, &parts).expect("a merger")
}

/// A vocabulary of letters, an unknown token, bytes, and the results of random merges.
fn vocabulary(seeds: &[(u8, u8)], bytes: usize) -> (Vec<String>, Vec<(String, String)>) {
    let mut tokens: Vec<String> = ["<unk>", "a", "b", "c", "\u{e9}"]
        .map(String::from)
        .to_vec();
    tokens.extend((0..bytes).map(|byte| format!("<{byte:#04X}>")));
    let mut known: Vec<String> = tokens[1..5].to_vec();
    let mut merges: Vec<(String, String)> = Vec::new();
    for &(left, right) in seeds {
        let pick = |at: u8| known[usize::from(at) % known.len()].clone();
        let (left, right) = (pick(left), pick(right));
        let joined = format!("{left}{right}");
        if joined.len() > 40 || merges.contains(&(left.clone(), right.clone())) {
            continue;
        }
        merges.push((left, right));
        if !tokens.contains(&joined) {
            tokens.push(joined.clone());
            known.push(joined);
        }
    }
    (tokens, merges)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The ids equal those of `tokenizers` for random merges, orders and texts.
    #[test]
    fn ids_are_those_of_the_reference(
        seeds in prop::collection::vec(any::<(u8, u8)>(), 0..60),
        texts in prop::collection::vec("[abc\u{e9}x\u{1F426}]{0,40}", 1..4),
        flags in any::<[bool; 4]>(),
    ) {
        let [byte_fallback, fuse_unknown, ignore_merges, all_bytes] = flags;
        let (tokens, merges) = vocabulary(&seeds, if all_bytes { 256 } else { 200 });
        let vocab: AHashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let reference = BPE::builder()
            .vocab_and_merges(vocab, merges.clone())
            .byte_fallback(byte_fallback)
            .fuse_unk(fuse_unknown)
            .ignore_merges(ignore_merges)
            .unk_token("<unk>".into())
            .build()
            .expect("a merger");
        let scheme = Scheme { byte_fallback, fuse_unknown, ignore_merges, ..Scheme::default() };
        let bpe = built(parts(&tokens, &merges, scheme, Some(0)));
        for text in texts {
            let expected = reference.tokenize(&text).expect("tokens");
            let mut ids = Vec::new();
            bpe.encode(&text, &mut Buffers::default(), &mut ids).expect("ids");
            let expected: Vec<u32> = expected.iter().map(|token| token.id).collect();
            prop_assert_eq!(ids, expected, "{}", text);
        }
    }
}

/// A word of a megabyte puts a few pairs for each letter into the queue, where each costs a
/// logarithm.
#[test]
fn long_words_are_not_quadratic() {
    let mut tokens = vec!["a".to_owned(), "b".to_owned()];
    let mut merges = Vec::new();
    for length in 0..10 {
        let text = "a".repeat(1 << length);
        merges.push((text.clone(), text.clone()));
        tokens.push(text.repeat(2));
    }
    let bpe = built(parts(&tokens, &merges, Scheme::default(), None));
    for letters in [1 << 17, 1 << 20] {
        let (mut ids, mut buffers) = (Vec::new(), Buffers::default());
        bpe.encode(&"a".repeat(letters), &mut buffers, &mut ids)
            .expect("ids");
        assert_eq!(ids.len(), letters >> 10);
        assert!(
            buffers.queued <= 3 * letters,
            "{} of {letters}",
            buffers.queued
        );
    }
}

/// An unknown token's own text is not copied for each of its characters.
#[test]
fn unknown_characters_cost_an_id() {
    let tokens = vec!["u".repeat(1024), "a".to_owned()];
    let bpe = built(parts(&tokens, &[], Scheme::default(), Some(0)));
    let mut ids = Vec::new();
    bpe.encode(&"x".repeat(1 << 20), &mut Buffers::default(), &mut ids)
        .expect("ids");
    assert_eq!(ids, vec![0; 1 << 20]);
}
