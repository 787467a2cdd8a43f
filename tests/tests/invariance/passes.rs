//! Passes, splits and steps in flight of any size.

use super::*;

/// An engine whose work is cut up like this.
pub(super) fn tuned(
    model: &Model,
    options: &EngineOptions,
    prefill_chunk: u32,
    workgroups: u32,
    steps_in_flight: u32,
) -> Engine {
    let tuning = Some(Tuning {
        prefill_chunk,
        workgroups,
        steps_in_flight,
        gemv: None,
        few_rows: None,
        few_rows_up_to: 8,
        gemm: None,
    });
    let adapter = std::env::var("GODWIT_ADAPTER").ok();
    let gpu = block_on(Gpu::open(
        &GpuOptions::default().adapter(adapter).tuning(tuning),
    ))
    .expect("a GPU");
    block_on(Engine::load(gpu, model, options, &mut godwit::unwatched)).expect("it loads")
}

/// However a prompt is cut into passes, and each row's positions into splits.
#[test]
fn passes_and_splits_of_any_size_give_the_same_tokens() {
    let model = smollm2();
    let prompt = text(&model, 200);
    for kv in ["f16", "q4_0"] {
        let options = EngineOptions::default().kv(kv.parse().expect("a type"));
        let mut expected = None;
        // The model has 3 KV heads: in decode this many workgroups are 1, 2, 7 and 64 splits.
        for (prefill_chunk, workgroups) in [(64, 1), (7, 5), (37, 21), (512, 192)] {
            let mut session = session(&tuned(&model, &options, prefill_chunk, workgroups, 1));
            assert_eq!(session.prefill_chunk(), prefill_chunk);
            block_on(session.prefill(&prompt, &mut godwit::unwatched)).expect("room");
            let tokens = continued(&mut session, 16);
            assert_eq!(
                &tokens,
                expected.get_or_insert(tokens.clone()),
                "{kv}, {prefill_chunk}, {workgroups}"
            );
        }
    }
}

/// Scoring takes eight tokens of a pass at a time: the last of them may be fewer, or one, on
/// kernels for CPUs and for GPUs.
#[test]
fn passes_of_any_size_give_the_same_scores() {
    let shape: godwit::low_level::Synthetic =
        "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let prompt: Vec<u32> = (0..80_u32).map(|i| i * i % 509).collect();
    for cpu in [true, false] {
        let mut expected: Option<Vec<f32>> = None;
        for prefill_chunk in [64, 1, 2, 9, 37] {
            // f16 arithmetic differs by more than a rounding.
            let gemm = (!cpu).then_some(MatmulMethod::Gemm);
            let tuning = Some(Tuning {
                prefill_chunk,
                workgroups: 3,
                steps_in_flight: 1,
                gemv: None,
                few_rows: None,
                few_rows_up_to: 8,
                gemm,
            });
            let adapter = std::env::var("GODWIT_ADAPTER").ok();
            let gpu_options = GpuOptions::default()
                .adapter(adapter)
                .tuning(tuning)
                .cpu(Some(cpu));
            let gpu = block_on(Gpu::open(&gpu_options)).expect("a GPU");
            let options = EngineOptions::default().kv("f32".parse().expect("a type"));
            let engine = block_on(Engine::load(gpu, &model, &options, &mut godwit::unwatched))
                .expect("it loads");
            let mut session = session(&engine);
            let mut scores = Vec::new();
            block_on(session.score(&prompt, &mut |_, logits| scores.extend_from_slice(logits)))
                .expect("room");
            assert_eq!(scores.len(), 80 * 512);
            let expected = expected.get_or_insert_with(|| scores.clone());
            assert!(
                close(&scores, expected),
                "passes of {prefill_chunk}, cpu {cpu}"
            );
        }
    }
}

/// What was chosen ahead does not stay: neither where the text goes on differently, nor where
/// others choose.
#[test]
fn steps_in_flight_give_the_same_tokens() {
    let shape: godwit::low_level::Synthetic =
        "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let prompt: Vec<u32> = (0..40_u32).map(|i| i * i % 509).collect();
    let warm = Sampling::default().temperature(1.5).top_p(1.0);
    for (kv, sampling) in [
        ("f16", Sampling::greedy()),
        ("q4_0", Sampling::greedy()),
        ("q8_0", warm),
    ] {
        let options = EngineOptions::default().kv(kv.parse().expect("a type"));
        let mut expected = None;
        for steps in [1, 2, 8] {
            let mut session = session(&tuned(&model, &options, 64, 1, steps));
            let more = |session: &mut Session, count: usize| -> Vec<u32> {
                (0..count)
                    .map(|_| block_on(session.next(&sampling)).expect("a token"))
                    .collect()
            };
            block_on(session.prefill(&prompt, &mut godwit::unwatched)).expect("room");
            // To the last token that fits: nothing is ahead of that.
            let tokens = more(&mut session, 216);
            assert_eq!(
                &tokens,
                expected.get_or_insert(tokens.clone()),
                "{kv}, {steps}"
            );
            assert_eq!(
                block_on(session.next(&sampling))
                    .map_err(|cause| cause.to_string().contains("256")),
                Err(true)
            );

            session.truncate(60);
            more(&mut session, 20);
            session.truncate(70);
            block_on(session.prefill(&tokens[30..35], &mut godwit::unwatched)).expect("room");
            assert_eq!(more(&mut session, 12), tokens[35..47], "{kv}, {steps}");
            let other = Sampling::default().seed(7).temperature(3.0).top_p(1.0);
            block_on(session.next(&other)).expect("a token");
            session.truncate(87);
            assert_eq!(more(&mut session, 12), tokens[47..59], "{kv}, {steps}");
        }
    }
}

/// With 4 bits a token attends to its own tail block in f16: the ring has it, whatever came before.
#[test]
fn the_f16_tail_gives_the_same_tokens() {
    let model = smollm2();
    let options = EngineOptions::default().kv("q4_0".parse().expect("a type"));
    let engine = engine(&model, &options, false);
    let prompt = text(&model, 200);
    let mut whole = session(&engine);
    block_on(whole.prefill(&prompt, &mut godwit::unwatched)).expect("room");
    let file = saved(&whole);
    let expected = continued(&mut whole, 12);

    let mut pieces = session(&engine);
    for piece in prompt.chunks(67) {
        block_on(pieces.prefill(piece, &mut godwit::unwatched)).expect("room");
    }
    assert_eq!(continued(&mut pieces, 12), expected);
    // Back to where the rings have gone on since, and to where they have not.
    for back in [70, 199] {
        whole.truncate(back);
        block_on(whole.prefill(&prompt[back..], &mut godwit::unwatched)).expect("room");
        assert_eq!(continued(&mut whole, 12), expected, "from {back}");
    }
    let mut resumed = session(&engine);
    block_on(resumed.resume(&mut &file[..], Some(&prompt), &mut godwit::unwatched))
        .expect("it resumes");
    assert_eq!(continued(&mut resumed, 12), expected);
}
