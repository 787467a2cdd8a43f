//! Replies of a model of random weights: what ends them, and what they leave behind.

use std::ops::ControlFlow;

use godwit_shaders::capabilities::Tuning;
use pollster::block_on;

use super::*;
use crate::low_level::Synthetic;
use crate::tokenizer::{GgufVocab, Tokenizer};
use crate::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions};

const PROMPT: [u32; 6] = [1, 7, 49, 343, 101, 207];

/// A session of `context` tokens that holds [`PROMPT`].
fn session(context: u32) -> Session {
    let model = "tiny:q8_0,vocab=512"
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let options = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        // A shift takes several passes.
        tuning: Some(Tuning {
            prefill_chunk: 4,
            workgroups: 1,
            steps_in_flight: 1,
            gemv: None,
            few_rows: None,
            few_rows_up_to: 8,
            gemm: None,
        }),
        ..GpuOptions::default()
    };
    let gpu = block_on(Gpu::open(&options))
        .expect("a GPU, or the software driver that tests/fetch.sh installs");
    let options = EngineOptions {
        context: ContextSize::Tokens(context),
        ..EngineOptions::default()
    };
    let engine = block_on(Engine::load(gpu, &model, &options, &mut unwatched)).expect("it loads");
    let mut session = block_on(engine.session()).expect("a session");
    block_on(session.prefill(&PROMPT, &mut unwatched)).expect("room");
    session
}

fn greedy() -> GenerateOptions {
    GenerateOptions::default().sampling(Sampling::greedy())
}

/// The pieces of a reply, whose texts must be its text, and why it ended.
fn reply(session: &mut Session, options: GenerateOptions) -> (Vec<Piece>, String, FinishReason) {
    let mut generation = session.generate(options).expect("valid");
    let mut pieces = Vec::new();
    while let Some(piece) = block_on(generation.next()).expect("a token") {
        pieces.push(piece);
    }
    assert_eq!(block_on(generation.next()), Ok(None), "an end is final");
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(generation.text(), text);
    let tokens: Vec<u32> = pieces.iter().filter_map(|piece| piece.token).collect();
    assert_eq!(generation.tokens(), tokens);
    let reason = generation.finish_reason().expect("it ended").clone();
    (pieces, text, reason)
}

#[test]
fn limits_end_a_reply() {
    let mut session = session(64);
    let (pieces, text, reason) = reply(&mut session, greedy().max_tokens(20));
    assert_eq!((pieces.len(), reason), (20, FinishReason::Length));
    assert_eq!(session.tokens().len(), PROMPT.len() + 20);
    let tokens = &session.tokens()[PROMPT.len()..];
    assert_eq!(session.engine().model().tokenizer().decode(tokens), text);

    let none = reply(&mut session, greedy().max_tokens(0));
    assert_eq!(none, (Vec::new(), String::new(), FinishReason::Length));

    // The last token of a context can be chosen, and no other after it.
    session.truncate(PROMPT.len());
    let (_, _, reason) = reply(&mut session, greedy());
    assert_eq!(
        (session.tokens().len(), reason),
        (64, FinishReason::Context)
    );
}

#[test]
fn a_stop_string_ends_a_reply_before_it() {
    let mut session = session(64);
    let (_, text, _) = reply(&mut session, greedy().max_tokens(20));
    let characters: Vec<char> = text.chars().collect();
    for (begin, len) in [(0, 1), (3, 2), (5, 4), (9, 7)] {
        let stop: String = characters[begin..begin + len].iter().collect();
        let at = text.find(&stop).expect("a part of the text");
        session.truncate(PROMPT.len());
        let stops = vec![String::new(), "no such text".into(), stop];
        let (_, cut, reason) = reply(&mut session, greedy().max_tokens(20).stop(stops));
        assert_eq!(
            (cut.as_str(), reason),
            (&text[..at], FinishReason::StopString)
        );
    }
    // What might have begun one is text, where the reply ends otherwise.
    let last = characters.last().expect("a text");
    session.truncate(PROMPT.len());
    let almost = vec![format!("{last}no such text")];
    let (_, whole, reason) = reply(&mut session, greedy().max_tokens(20).stop(almost));
    assert_eq!((whole, reason), (text, FinishReason::Length));
}

/// A reply with and without speculation: the same tokens, and the same session afterwards.
#[test]
fn speculation_changes_no_reply() {
    let mut session = session(512);
    let prompt: Vec<u32> = (0..40)
        .chain(0..40)
        .chain(0..20)
        .map(|i| 5 + i * 7 % 90)
        .collect();
    let (mut drafted, mut accepted) = (0, 0);
    for seed in 0..6 {
        let sampling = match seed {
            0 => Sampling::greedy(),
            1 => Sampling::greedy().repetition_penalty(1.2),
            _ => Sampling::default().temperature(0.3).seed(seed),
        };
        let options = GenerateOptions::default().sampling(sampling).max_tokens(60);
        let mut replies = Vec::new();
        for speculation in [
            Speculation::Off,
            Speculation::Tokens(7),
            Speculation::Tokens(2),
        ] {
            session.truncate(0);
            block_on(session.prefill(&prompt, &mut unwatched)).expect("room");
            let options = options.clone().speculation(speculation);
            let mut generation = session.generate(options).expect("valid options");
            while block_on(generation.next()).expect("a token").is_some() {}
            let speculated = generation.speculated();
            drafted += speculated.drafted;
            accepted += speculated.accepted;
            let tokens = generation.tokens().to_vec();
            assert_eq!(session.tokens()[prompt.len()..], tokens);
            replies.push(tokens);
        }
        assert_eq!(replies[1], replies[0], "seed {seed}");
        assert_eq!(replies[2], replies[0], "seed {seed}");
    }
    assert!(
        drafted > accepted && accepted > 0,
        "{accepted} of {drafted}"
    );
}

/// Tokens that follow guesses are as likely as they are without: the third token of replies with
/// many seeds, against the model's probabilities. A session of the same model guesses.
#[test]
fn sampled_tokens_have_their_probabilities() {
    let mut session = session(512);
    let mut draft = block_on(session.engine().clone().session()).expect("a session");
    let sampling = Sampling::default().top_k(6).top_p(1.0).temperature(1.0);
    let prompt: Vec<u32> = [9, 10, 11, 12].repeat(8);
    let (mut counts, mut drafted) = (std::collections::HashMap::<[u32; 3], u32>::new(), 0);
    let mut begin = std::collections::HashMap::<[u32; 2], u32>::new();
    for seed in 0..500 {
        session.truncate(0);
        block_on(session.prefill(&prompt, &mut unwatched)).expect("room");
        let options = GenerateOptions::default()
            .sampling(sampling.clone().seed(seed))
            .max_tokens(3)
            .speculation(Speculation::Tokens(3));
        let mut generation = session
            .generate_with_draft(&mut draft, options)
            .expect("the same vocabulary");
        while block_on(generation.next()).expect("a token").is_some() {}
        drafted += generation.speculated().drafted;
        if let [a, b, c] = *generation.tokens() {
            *counts.entry([a, b, c]).or_default() += 1;
            *begin.entry([a, b]).or_default() += 1;
        }
    }
    assert!(drafted > 500, "{drafted}");
    let (&[a, b], &of) = begin.iter().max_by_key(|(_, count)| **count).expect("some");
    session.truncate(0);
    let tokens = [&prompt[..], &[a, b]].concat();
    block_on(session.prefill(&tokens, &mut unwatched)).expect("room");
    let logits = block_on(session.logits()).expect("logits");
    let mut best: Vec<usize> = (0..logits.len()).collect();
    best.sort_by(|&x, &y| logits[y].total_cmp(&logits[x]));
    let weight = |id: usize| f64::from(logits[id] - logits[best[0]]).exp();
    let total: f64 = best[..6].iter().map(|&id| weight(id)).sum();
    let chi_square: f64 = best[..6]
        .iter()
        .map(|&id| {
            let expected = f64::from(of) * weight(id) / total;
            let seen = counts.get(&[a, b, id as u32]).copied().unwrap_or(0);
            (f64::from(seen) - expected).powi(2) / expected
        })
        .sum();
    // Five degrees of freedom: 20.5 is exceeded once in a thousand. The seeds are always the same.
    assert!(
        of >= 20 && chi_square < 20.5,
        "chi-square {chi_square} of {of} replies"
    );
}

/// Tokens that the caller has not heard of are taken back.
#[test]
fn a_dropped_reply_leaves_what_was_heard() {
    let mut session = session(512);
    let prompt: Vec<u32> = [9, 10, 11, 12].repeat(20);
    session.truncate(0);
    block_on(session.prefill(&prompt, &mut unwatched)).expect("room");
    let options = greedy().speculation(Speculation::Tokens(7));
    let mut generation = session.generate(options).expect("valid options");
    for heard in 1..=20 {
        let piece = block_on(generation.next()).expect("a token");
        assert!(piece.is_some(), "after {heard}");
    }
    let tokens = generation.tokens().to_vec();
    drop(generation);
    assert_eq!(
        (tokens.len(), &session.tokens()[prompt.len()..]),
        (20, &tokens[..])
    );
}

/// A vocabulary of single bytes behind `<unk>`, `<s>` and `</s>`, which ends a turn.
fn bytes() -> Tokenizer {
    let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let tokens: Vec<String> = special
        .into_iter()
        .chain((0..256).map(|byte| format!("<0x{byte:02X}>")))
        .collect();
    let mut types = vec![6; tokens.len()];
    types[..3].copy_from_slice(&[2, 3, 3]);
    Tokenizer::from_gguf_vocab(GgufVocab {
        model: Some("llama".into()),
        scores: Some(vec![0.0; tokens.len()]),
        tokens: Some(tokens),
        types: Some(types),
        bos: Some(1),
        eos: Some(2),
        ..GgufVocab::default()
    })
    .expect("a tokenizer")
}

#[test]
fn the_end_of_a_turn_ends_a_reply() {
    let (tokenizer, stop) = (bytes(), vec!["\u{e9}\u{e9}!".to_owned()]);
    let mut reply = Reply::new(&tokenizer, 10, stop);
    let mut push = |token| reply.push(&tokenizer, token).text;
    let byte = |byte: u8| 3 + u32::from(byte);
    // Half a character, then the whole, which may begin a stop string.
    let texts = [
        push(byte(b'a')),
        push(byte(0xc3)),
        push(byte(0xa9)),
        push(byte(0xc3)),
    ];
    assert_eq!(texts, ["a", "", "", ""]);
    // What was held back comes with the end.
    assert_eq!(push(2), "\u{e9}\u{fffd}");
    assert_eq!(reply.finish_reason(), Some(&FinishReason::EndOfTurn));
    assert_eq!((reply.text(), reply.tokens().len()), ("a\u{e9}\u{fffd}", 5));
}

#[test]
fn a_full_context_is_shifted() {
    let mut session = session(32);
    let options = greedy().max_tokens(100).context_shift(Some(3));
    let (pieces, _, reason) = reply(&mut session, options.clone());
    assert_eq!((pieces.len(), reason), (100, FinishReason::Length));
    assert_eq!(session.tokens()[..3], PROMPT[..3]);
    assert!(session.tokens().len() <= 32);
}

/// A shift that is stopped, or whose future is dropped, at any pass: the reply goes on as if it had
/// not been.
#[test]
fn an_interrupted_shift_goes_on() {
    let options = greedy().max_tokens(60).context_shift(Some(3));
    let mut whole = session(32);
    let (_, text, _) = reply(&mut whole, options.clone());

    let mut session = session(32);
    let mut generation = session.generate(options).expect("valid");
    let (mut calls, mut stops) = (0, 0);
    loop {
        let mut every_other = |_| {
            calls += 1;
            match calls % 2 {
                0 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        match block_on(generation.next_watched(&mut every_other)) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error, Error::Stopped);
                stops += 1;
            }
        }
    }
    assert!(stops > 2, "{stops} stops");
    assert_eq!(generation.text(), text);
    assert_eq!(session.tokens(), whole.tokens());
}

#[test]
fn a_cancelled_reply_ends() {
    let mut session = session(64);
    let mut generation = session.generate(greedy()).expect("valid");
    block_on(generation.next()).expect("a token");
    generation.cancel();
    assert_eq!(generation.finish_reason(), Some(&FinishReason::Cancelled));
    assert_eq!(block_on(generation.next()), Ok(None));
}

#[test]
fn a_cancelled_reply_leaves_its_tokens() {
    let mut session = session(64);
    let (_, text, _) = reply(&mut session, greedy().max_tokens(12));
    let all = session.tokens().to_vec();
    session.truncate(PROMPT.len());
    let mut generation = session.generate(greedy()).expect("valid");
    for _ in 0..5 {
        block_on(generation.next()).expect("a token");
    }
    drop(generation);
    assert_eq!(session.tokens(), &all[..PROMPT.len() + 5]);
    // Another reply continues it.
    let (_, rest, _) = reply(&mut session, greedy().max_tokens(7));
    assert_eq!(session.tokens(), all);
    assert!(text.ends_with(&rest));
}

#[test]
fn bad_sampling_is_refused_before_anything_happens() {
    let mut session = session(64);
    let mut sampling = Sampling::greedy();
    sampling.top_p = 7.0;
    let error = session.generate(greedy().sampling(sampling)).err();
    assert!(matches!(error, Some(Error::Sampling(_))), "{error:?}");
    assert_eq!(session.tokens(), PROMPT);
}
