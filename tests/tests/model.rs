//! The session's promises on the test model: what must not change the answer doesn't.

use std::ops::ControlFlow;

use godwit::low_level::Synthetic;
use godwit::tokenizer::Special;
use godwit::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, Message, Sampling, Session,
};
use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_tests::model::{engine, session, smollm2};
use pollster::block_on;

fn prompt(engine: &Engine) -> Vec<u32> {
    let messages = [
        Message::system("Be brief."),
        Message::user("Name three birds that fly far."),
    ];
    let model = engine.model();
    model
        .chat()
        .and_then(|chat| chat.encode(model.tokenizer(), &messages, true))
        .expect("a prompt")
}

fn continued(session: &mut Session, prompt: &[u32], sampling: &Sampling, count: usize) -> Vec<u32> {
    block_on(session.prefill(prompt, &mut godwit::unwatched)).expect("the prompt fits");
    (0..count)
        .map(|_| block_on(session.next(sampling)).expect("a token"))
        .collect()
}

#[test]
fn segments_and_limits_do_not_change_the_answer() {
    let model = smollm2();
    let whole = engine(&model, &EngineOptions::default(), false);
    let prompt = prompt(&whole);
    let expected = continued(&mut session(&whole), &prompt, &Sampling::greedy(), 40);
    // Segments so short that prompt and answer cross several, under the limits of a browser.
    let options = EngineOptions::default()
        .context(ContextSize::Tokens(256))
        .segment_tokens(Some(64));
    let cut = engine(&model, &options, true);
    assert_eq!(
        continued(&mut session(&cut), &prompt, &Sampling::greedy(), 40),
        expected
    );
}

#[test]
fn kernels_for_gpus_answer_like_those_for_cpus() {
    let model = "tiny:q8_0,vocab=512"
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let ids: Vec<u32> = (0..MAX_SINGLE_PASS_TOKENS + 8)
        .map(|i| i * 7919 % 512)
        .collect();
    // A small difference may be rounded to the next of 16 codes.
    for (kv, most, dots) in [("q8_0", 1e-5, true), ("q4_0", 1e-3, false)] {
        // Decode from where a workgroup attends to all positions to where several do.
        let logits = |cpu: bool| {
            let adapter = std::env::var("GODWIT_ADAPTER").ok();
            let options = GpuOptions::default()
                .adapter(adapter)
                .cpu(Some(cpu))
                .packed_dot(Some(dots));
            let gpu = block_on(Gpu::open(&options)).expect("a GPU");
            let options = EngineOptions::default().kv(kv.parse().expect("a type"));
            let engine = block_on(Engine::load(gpu, &model, &options, &mut godwit::unwatched))
                .expect("it loads");
            let mut session = session(&engine);
            let (first, then) = ids.split_at(MAX_SINGLE_PASS_TOKENS as usize - 4);
            block_on(session.prefill(first, &mut godwit::unwatched)).expect("room");
            then.iter()
                .map(|id| {
                    block_on(session.prefill(&[*id], &mut godwit::unwatched)).expect("room");
                    block_on(session.logits()).expect("logits")
                })
                .collect::<Vec<_>>()
        };
        for (at, (gpu, cpu)) in logits(false).iter().zip(&logits(true)).enumerate() {
            assert!(
                cosine(gpu, cpu) > 1.0 - most,
                "{kv}, token {at}: {}",
                cosine(gpu, cpu)
            );
        }
    }
}

/// Cosine of the angle between two models' logits.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_type_of_kv_cache_answers_alike() {
    let model = smollm2();
    // Of many positions, for one alone may lie anywhere.
    let logits = |kv: &str| {
        let kv = kv.parse().expect("a type");
        let options = EngineOptions::default().segment_tokens(Some(64)).kv(kv);
        let engine = engine(&model, &options, true);
        let mut session = session(&engine);
        let text = "The godwit flies from Alaska to New Zealand without a rest, eleven thousand \
            kilometres in nine days. ";
        let ids = model
            .tokenizer()
            .encode(&text.repeat(5), Special::Text)
            .expect("ids");
        let mut all: Vec<Vec<f32>> = Vec::new();
        block_on(session.score(&ids[..100], &mut |_, logits| all.push(logits.to_vec())))
            .expect("room");
        // One by one from here: decode appends and reads what prefill wrote.
        for id in &ids[100..105] {
            block_on(session.prefill(&[*id], &mut godwit::unwatched)).expect("room");
            all.push(block_on(session.logits()).expect("logits"));
        }
        all
    };
    let exact = logits("f32");
    for (kv, least) in [
        ("f16", 0.999_999),
        ("q8_0", 0.999_9),
        ("q4_0", 0.95),
        ("q8_0/q4_0", 0.95),
        ("f16/q8_0", 0.999_9),
    ] {
        let found = logits(kv);
        let found = found
            .iter()
            .zip(&exact)
            .map(|(a, b)| cosine(a, b))
            .sum::<f64>()
            / exact.len() as f64;
        assert!(found >= least, "{kv}: {found}");
    }
}

#[test]
fn what_was_truncated_leaves_no_trace() {
    let engine = engine(&smollm2(), &EngineOptions::default(), false);
    let prompt = prompt(&engine);
    let mut fresh = session(&engine);
    let expected = continued(&mut fresh, &prompt, &Sampling::greedy(), 8);
    let logits = block_on(fresh.logits()).expect("logits");

    let mut used = session(&engine);
    let other = engine.model().tokenizer().encode(
        "Something else altogether, and longer than that.",
        Special::Text,
    );
    continued(&mut used, &other.expect("ids"), &Sampling::greedy(), 5);
    used.truncate(0);
    assert_eq!(
        continued(&mut used, &prompt, &Sampling::greedy(), 8),
        expected
    );
    assert_eq!(block_on(used.logits()).expect("logits"), logits);
    // Back to the end of the prompt: the same tokens come again.
    used.truncate(prompt.len());
    let again: Vec<u32> = (0..8)
        .map(|_| block_on(used.next(&Sampling::greedy())).expect("a token"))
        .collect();
    assert_eq!(again, expected);
}

#[test]
fn the_seed_decides() {
    let engine = engine(&smollm2(), &EngineOptions::default(), false);
    let prompt = prompt(&engine);
    let with = |seed: u64| {
        let sampling = Sampling::default()
            .temperature(1.0)
            .top_k(50)
            .repetition_penalty(1.1)
            .seed(seed);
        continued(&mut session(&engine), &prompt, &sampling, 12)
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    let forbidden = continued(&mut session(&engine), &prompt, &Sampling::greedy(), 1)[0];
    let sampling = Sampling::greedy().logit_bias(vec![(forbidden, f32::NEG_INFINITY)]);
    assert_ne!(
        continued(&mut session(&engine), &prompt, &sampling, 1)[0],
        forbidden
    );
}

#[test]
fn refuses_what_does_not_fit() {
    let model = smollm2();
    let options = EngineOptions::default().context(ContextSize::Tokens(16));
    let engine = engine(&model, &options, false);
    let mut session = session(&engine);
    assert_eq!(
        block_on(session.next(&Sampling::greedy())),
        Err(Error::Empty)
    );
    assert_eq!(
        block_on(session.prefill(&[1; 17], &mut godwit::unwatched)),
        Err(Error::ContextFull {
            tokens: 17,
            used: 0,
            context: 16
        })
    );
    assert_eq!(
        block_on(session.prefill(&[49_152], &mut godwit::unwatched)),
        Err(Error::NoSuchToken {
            id: 49_152,
            vocab: 49_152
        })
    );
    let hot = Sampling::default().temperature(-1.0);
    block_on(session.prefill(&[1; 15], &mut godwit::unwatched)).expect("room for 15");
    assert!(matches!(
        block_on(session.next(&hot)),
        Err(Error::Sampling(_))
    ));
    block_on(session.next(&Sampling::greedy())).expect("room for one more");
    assert!(matches!(
        block_on(session.next(&Sampling::greedy())),
        Err(Error::ContextFull { .. })
    ));

    session.truncate(0);
    let stopped = block_on(session.prefill(&[1; 16], &mut |_| ControlFlow::Break(())));
    assert_eq!(
        (stopped, session.tokens().len()),
        (Ok(()), 16),
        "the last pass is not stopped"
    );
    let window = model.config().context;
    let options = EngineOptions::default().context(ContextSize::Tokens(window + 1));
    let too_large = block_on(Engine::load(
        engine.gpu().clone(),
        &model,
        &options,
        &mut godwit::unwatched,
    ));
    assert_eq!(
        too_large.err(),
        Some(Error::Window {
            asked: window + 1,
            window
        })
    );
}

#[test]
fn the_plan_reads_as_it_did() {
    let engine = engine(&smollm2(), &EngineOptions::default(), true);
    let text = block_on(session(&engine).plan_text()).expect("a plan");
    // Layers are all alike: the embedding, the first layer, the second's beginning, and the end.
    let lines: Vec<&str> = text.lines().collect();
    let shown = [&lines[..16], &["..."], &lines[lines.len() - 4..]]
        .concat()
        .join("\n");
    // Splits differ between CPUs and GPUs.
    let shown = shown
        .replace("SPLITS=8", "SPLITS=n")
        .replace("SPLITS=1", "SPLITS=n");
    insta::assert_snapshot!("decode_plan", shown);
}
