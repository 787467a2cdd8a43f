//! A KV cache that grows, spills or has no room.

use super::*;

#[test]
fn a_kv_cache_that_left_the_gpu_gives_the_same_tokens() {
    let model = smollm2();
    let options = EngineOptions::default().segment_tokens(Some(64));
    let roomy = engine(&model, &options, false);
    let prompt = text(&model, 304);
    let mut whole = session(&roomy);
    block_on(whole.prefill(&prompt, &mut godwit::unwatched)).expect("room");
    let file = saved(&whole);
    let expected = clearly_continued(&mut whole, 30);

    // A segment takes 1.5 MB; two or three of the six stay. Of the others, one is in memory, the
    // rest in a file.
    let options = options.spill(Spilling::Host { memory: 1 << 20 });
    let load = |options: &EngineOptions| {
        block_on(Engine::load(
            small_gpu(&roomy, 5 << 20, false),
            &model,
            options,
            &mut godwit::unwatched,
        ))
        .expect("it loads")
    };
    let small = load(&options);
    let mut spilled = session(&small);
    block_on(spilled.prefill(&prompt, &mut godwit::unwatched)).expect("room");
    assert_eq!(continued(&mut spilled, 30), expected);
    assert!(
        spilled.spilled_bytes() > 3 << 20,
        "{}",
        spilled.spilled_bytes()
    );
    assert!(spilled.memory().kv <= 5 << 20);

    // Back to a position that is on the host, and on from there.
    spilled.truncate(70);
    block_on(spilled.prefill(&prompt[70..], &mut godwit::unwatched)).expect("room");
    assert_eq!(continued(&mut spilled, 30), expected);

    // Saved from there it is the same; resumed there, too.
    spilled.truncate(prompt.len());
    let mut fresh = session(&roomy);
    block_on(fresh.resume(
        &mut &saved(&spilled)[..],
        Some(&prompt),
        &mut godwit::unwatched,
    ))
    .expect("it resumes");
    assert_eq!(continued(&mut fresh, 30), expected);
    let mut again = session(&load(&options));
    let header =
        block_on(again.resume(&mut &file[..], None, &mut godwit::unwatched)).expect("it resumes");
    assert_eq!(
        (header.count, header.note["what"].as_str()),
        (304, Some("a test"))
    );
    assert!(again.spilled_bytes() > 0);
    assert_eq!(continued(&mut again, 30), expected);

    // Where nothing may leave, growing fails, and what is there stays.
    let mut strict = session(&load(&options.spill(Spilling::Never)));
    let cause = block_on(strict.prefill(&prompt, &mut godwit::unwatched)).expect_err("no room");
    assert!(
        matches!(&cause, Error::Gpu(cause) if cause.is_out_of_memory()),
        "{cause}"
    );
    assert!(strict.tokens().len() >= 128);
}

/// What a session answers whose cache grows while steps are in flight, and again in the middle of a
/// prompt: tokens, then logits.
pub(super) fn grown(session: &mut Session, prompt: &[u32]) -> (Vec<u32>, Vec<f32>) {
    block_on(session.prefill(&prompt[..1000], &mut godwit::unwatched)).expect("room");
    let tokens = continued(session, 60);
    block_on(session.prefill(&prompt[1060..], &mut godwit::unwatched)).expect("room");
    (tokens, block_on(session.logits()).expect("logits"))
}

/// How many segments a decode step goes over.
pub(super) fn segments(session: &mut Session) -> usize {
    let plan = block_on(session.plan_text()).expect("a plan");
    let dispatches = plan
        .lines()
        .filter(|line| line.starts_with("attention."))
        .count();
    dispatches / session.engine().model().config().layers as usize
}

pub(super) fn close(a: &[f32], b: &[f32]) -> bool {
    let (most, off) = a.iter().zip(b).fold((0.0_f32, 0.0_f32), |(m, d), (x, y)| {
        (m.max(x.abs()), d.max((x - y).abs()))
    });
    off <= 1e-4 * most
}

#[test]
fn a_kv_cache_that_grows_stays_one_segment_and_gives_the_same_logits() {
    for kv in ["f16", "q4_0/q8_0"] {
        let (model, prompt, options) = tiny(kv);
        let answers = [None, Some(4096), Some(192)].map(|segment_tokens| {
            let mut session = session(&engine(
                &model,
                &options.clone().segment_tokens(segment_tokens),
                true,
            ));
            let answer = grown(&mut session, &prompt);
            assert_eq!(
                segments(&mut session),
                if segment_tokens == Some(192) { 11 } else { 1 }
            );
            answer
        });
        let [(tokens, logits), (same, exact), (cut, nearly)] = &answers;
        assert!(tokens == same && tokens == cut, "{kv}");
        assert!(logits == exact && close(logits, nearly), "{kv}");
    }
}

/// Memory ends where a layer is to be copied, in the middle of that, and before.
#[test]
fn a_kv_cache_that_has_no_room_to_grow_loses_nothing() {
    let (model, prompt, options) = tiny("f16");
    let roomy = engine(&model, &options, true);
    let expected = grown(&mut session(&roomy), &prompt);
    // 4,096 positions take 4 MiB; compacted segments exist twice, one layer at a time.
    for (kib, count, spilled) in [
        (7000, 1, false),
        (5500, 2, false),
        (4096, 2, false),
        (2700, 3, false),
        (1700, 17, true),
    ] {
        let load = |options: &EngineOptions| {
            let gpu = small_gpu(&roomy, kib << 10, true);
            block_on(Engine::load(gpu, &model, options, &mut godwit::unwatched)).expect("it loads")
        };
        let mut session = session(&load(&options));
        let (tokens, logits) = grown(&mut session, &prompt);
        assert!(
            tokens == expected.0 && close(&logits, &expected.1),
            "{kib} KiB"
        );
        assert_eq!(
            (segments(&mut session), session.spilled_bytes() > 0),
            (count, spilled),
            "{kib} KiB"
        );
        assert!(session.memory().kv <= kib << 10, "{kib} KiB");
    }
}

#[test]
fn the_memory_plan_is_what_is_taken() {
    let gpu = gpu(false);
    for shape in ["tiny:q4_k", "smollm2-135m:q4_0,layers=3"] {
        let model = shape
            .parse::<godwit::low_level::Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        for kv in ["f16", "q4_0"] {
            let (kv, context) = (kv.parse().expect("a type"), ContextSize::Tokens(5000));
            let options = EngineOptions::default().context(context).kv(kv);
            let engine = block_on(Engine::load(
                gpu.clone(),
                &model,
                &options,
                &mut godwit::unwatched,
            ))
            .expect("it loads");
            let mut session = session(&engine);
            block_on(session.fill_with_noise(5000)).expect("room");
            let (plan, found) = (
                MemoryUse::estimate(&model, 5000, kv, gpu.caps()),
                session.memory(),
            );
            for (plan, found) in [
                (plan.weights, found.weights),
                (plan.kv, found.kv),
                (plan.scratch, found.scratch),
            ] {
                let ratio = plan as f64 / found as f64;
                assert!(
                    (0.9..1.1).contains(&ratio),
                    "{shape}, {kv}: {plan} planned, {found} taken"
                );
            }
        }
    }
}
