//! What must not change the answer: segments, saving and resuming, prompts read from disk, and a KV
//! cache that left the GPU.

use std::ops::ControlFlow;

use godwit::SnapshotError;
use godwit::quantize::InputSquares;
use godwit::tokenizer::Special;
use godwit::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, KvFormat, MemoryUse, Model,
    PrefixCache, Progress, Sampling, Session, Spilling, Tuning,
};
use godwit_shaders::MatmulMethod;
use godwit_tests::model::{engine, go, gpu, session, smollm2};
use pollster::block_on;

fn continued(session: &mut Session, count: usize) -> Vec<u32> {
    (0..count)
        .map(|_| block_on(session.next(&Sampling::greedy())).expect("a token"))
        .collect()
}

/// The same, where each choice is a clear one: a token alone and one in a pass go through different
/// kernels, whose logits differ by up to a hundredth.
fn clearly_continued(session: &mut Session, count: usize) -> Vec<u32> {
    let clear = |session: &mut Session| {
        let mut logits = block_on(session.logits()).expect("logits");
        logits.sort_by(|a, b| b.total_cmp(a));
        assert!(
            logits[0] - logits[1] > 0.05,
            "{} or {}: choose another text",
            logits[0],
            logits[1]
        );
    };
    (0..count)
        .flat_map(|_| {
            clear(session);
            continued(session, 1)
        })
        .collect()
}

fn text(model: &Model, count: usize) -> Vec<u32> {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/golden/perplexity.txt"
    ))
    .expect("a text");
    let mut ids = model
        .tokenizer()
        .encode(&text[..6 * count], Special::Text)
        .expect("ids");
    ids.truncate(count);
    ids
}

fn saved(session: &Session) -> Vec<u8> {
    let mut file = Vec::new();
    let note = serde_json::json!({"what": "a test"});
    block_on(session.save(&mut file, 0..session.tokens().len(), note, &mut go))
        .expect("it is saved");
    file
}

/// A GPU with room for the model and for this much KV cache.
fn small_gpu(engine: &Engine, kv: u64, webgpu_limits: bool) -> Gpu {
    let memory = session(engine).memory();
    let options = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        memory: Some(memory.weights + memory.scratch + kv),
        webgpu_limits,
        ..GpuOptions::default()
    };
    block_on(Gpu::open(&options)).expect("a GPU")
}

#[test]
fn a_kv_cache_that_left_the_gpu_gives_the_same_tokens() {
    let model = smollm2();
    let options = EngineOptions {
        segment_tokens: Some(64),
        ..EngineOptions::default()
    };
    let roomy = engine(&model, &options, false);
    let prompt = text(&model, 304);
    let mut whole = session(&roomy);
    block_on(whole.prefill(&prompt, &mut go)).expect("room");
    let file = saved(&whole);
    let expected = clearly_continued(&mut whole, 30);

    // A segment takes 1.5 MB; two or three of the six stay. Of the others, one is in memory, the
    // rest in a file.
    let options = EngineOptions {
        spill: Spilling::Host { memory: 1 << 20 },
        ..options
    };
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
    block_on(spilled.prefill(&prompt, &mut go)).expect("room");
    assert_eq!(continued(&mut spilled, 30), expected);
    assert!(
        spilled.spilled_bytes() > 3 << 20,
        "{}",
        spilled.spilled_bytes()
    );
    assert!(spilled.memory().kv <= 5 << 20);

    // Back to a position that is on the host, and on from there.
    spilled.truncate(70);
    block_on(spilled.prefill(&prompt[70..], &mut go)).expect("room");
    assert_eq!(continued(&mut spilled, 30), expected);

    // Saved from there it is the same; resumed there, too.
    spilled.truncate(prompt.len());
    let mut fresh = session(&roomy);
    block_on(fresh.resume(&mut &saved(&spilled)[..], Some(&prompt), &mut go)).expect("it resumes");
    assert_eq!(continued(&mut fresh, 30), expected);
    let mut again = session(&load(&options));
    let header = block_on(again.resume(&mut &file[..], None, &mut go)).expect("it resumes");
    assert_eq!(
        (header.count, header.note["what"].as_str()),
        (304, Some("a test"))
    );
    assert!(again.spilled_bytes() > 0);
    assert_eq!(continued(&mut again, 30), expected);

    // Where nothing may leave, growing fails, and what is there stays.
    let mut strict = session(&load(&EngineOptions {
        spill: Spilling::Never,
        ..options
    }));
    let cause = block_on(strict.prefill(&prompt, &mut go)).expect_err("no room");
    assert!(
        matches!(&cause, Error::Gpu(cause) if cause.is_out_of_memory()),
        "{cause}"
    );
    assert!(strict.tokens().len() >= 128);
}

/// A small model, a prompt for it, and how it is loaded with its KV cache in this type.
fn tiny(kv: &str) -> (Model, Vec<u32>, EngineOptions) {
    let model = "tiny:q8_0,vocab=512"
        .parse::<godwit::Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let prompt = (0..2100_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let (context, kv) = (ContextSize::Tokens(4096), kv.parse().expect("a type"));
    (
        model,
        prompt,
        EngineOptions {
            context,
            kv,
            ..EngineOptions::default()
        },
    )
}

/// What a session answers whose cache grows while steps are in flight, and again in the middle of a
/// prompt: tokens, then logits.
fn grown(session: &mut Session, prompt: &[u32]) -> (Vec<u32>, Vec<f32>) {
    block_on(session.prefill(&prompt[..1000], &mut go)).expect("room");
    let tokens = continued(session, 60);
    block_on(session.prefill(&prompt[1060..], &mut go)).expect("room");
    (tokens, block_on(session.logits()).expect("logits"))
}

/// How many segments a decode step goes over.
fn segments(session: &mut Session) -> usize {
    let plan = block_on(session.plan_text()).expect("a plan");
    let dispatches = plan
        .lines()
        .filter(|line| line.starts_with("attention."))
        .count();
    dispatches / session.engine().model().config().layers as usize
}

fn close(a: &[f32], b: &[f32]) -> bool {
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
                &EngineOptions {
                    segment_tokens,
                    ..options.clone()
                },
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

/// An engine whose work is cut up like this.
fn tuned(
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
        gemm: None,
    });
    let adapter = std::env::var("GODWIT_ADAPTER").ok();
    let gpu = block_on(Gpu::open(&GpuOptions {
        adapter,
        tuning,
        ..GpuOptions::default()
    }))
    .expect("a GPU");
    block_on(Engine::load(gpu, model, options, &mut godwit::unwatched)).expect("it loads")
}

/// However a prompt is cut into passes, and each row's positions into splits.
#[test]
fn passes_and_splits_of_any_size_give_the_same_tokens() {
    let model = smollm2();
    let prompt = text(&model, 200);
    for kv in ["f16", "q4_0"] {
        let options = EngineOptions {
            kv: kv.parse().expect("a type"),
            ..EngineOptions::default()
        };
        let mut expected = None;
        // The model has 3 KV heads: in decode this many workgroups are 1, 2, 7 and 64 splits.
        for (prefill_chunk, workgroups) in [(64, 1), (7, 5), (37, 21), (512, 192)] {
            let mut session = session(&tuned(&model, &options, prefill_chunk, workgroups, 1));
            assert_eq!(session.prefill_chunk(), prefill_chunk);
            block_on(session.prefill(&prompt, &mut go)).expect("room");
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
    let shape: godwit::Synthetic = "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
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
                gemm,
            });
            let adapter = std::env::var("GODWIT_ADAPTER").ok();
            let gpu_options = GpuOptions {
                adapter,
                tuning,
                cpu: Some(cpu),
                ..GpuOptions::default()
            };
            let gpu = block_on(Gpu::open(&gpu_options)).expect("a GPU");
            let options = EngineOptions {
                kv: "f32".parse().expect("a type"),
                ..EngineOptions::default()
            };
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
    let shape: godwit::Synthetic = "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let prompt: Vec<u32> = (0..40_u32).map(|i| i * i % 509).collect();
    let warm = Sampling {
        temperature: 1.5,
        top_p: 1.0,
        ..Sampling::default()
    };
    for (kv, sampling) in [
        ("f16", Sampling::greedy()),
        ("q4_0", Sampling::greedy()),
        ("q8_0", warm),
    ] {
        let options = EngineOptions {
            kv: kv.parse().expect("a type"),
            ..EngineOptions::default()
        };
        let mut expected = None;
        for steps in [1, 2, 8] {
            let mut session = session(&tuned(&model, &options, 64, 1, steps));
            let more = |session: &mut Session, count: usize| -> Vec<u32> {
                (0..count)
                    .map(|_| block_on(session.next(&sampling)).expect("a token"))
                    .collect()
            };
            block_on(session.prefill(&prompt, &mut go)).expect("room");
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
            block_on(session.prefill(&tokens[30..35], &mut go)).expect("room");
            assert_eq!(more(&mut session, 12), tokens[35..47], "{kv}, {steps}");
            let other = Sampling {
                seed: 7,
                temperature: 3.0,
                top_p: 1.0,
                ..Sampling::default()
            };
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
    let options = EngineOptions {
        kv: "q4_0".parse().expect("a type"),
        ..EngineOptions::default()
    };
    let engine = engine(&model, &options, false);
    let prompt = text(&model, 200);
    let mut whole = session(&engine);
    block_on(whole.prefill(&prompt, &mut go)).expect("room");
    let file = saved(&whole);
    let expected = continued(&mut whole, 12);

    let mut pieces = session(&engine);
    for piece in prompt.chunks(67) {
        block_on(pieces.prefill(piece, &mut go)).expect("room");
    }
    assert_eq!(continued(&mut pieces, 12), expected);
    // Back to where the rings have gone on since, and to where they have not.
    for back in [70, 199] {
        whole.truncate(back);
        block_on(whole.prefill(&prompt[back..], &mut go)).expect("room");
        assert_eq!(continued(&mut whole, 12), expected, "from {back}");
    }
    let mut resumed = session(&engine);
    block_on(resumed.resume(&mut &file[..], Some(&prompt), &mut go)).expect("it resumes");
    assert_eq!(continued(&mut resumed, 12), expected);
}

#[test]
fn saved_contexts_know_where_they_belong() {
    let model = smollm2();
    for kv in ["f16", "q8_0", "q4_0/q8_0"] {
        let kv: KvFormat = kv.parse().expect("a type");
        let first = engine(
            &model,
            &EngineOptions {
                segment_tokens: Some(128),
                kv,
                ..Default::default()
            },
            false,
        );
        let mut whole = session(&first);
        block_on(whole.prefill(&text(&model, 200), &mut go)).expect("room");
        let file = saved(&whole);
        let expected = continued(&mut whole, 10);
        // Other segments, the same tokens.
        let other = engine(
            &model,
            &EngineOptions {
                segment_tokens: Some(64),
                kv,
                ..Default::default()
            },
            true,
        );
        let mut resumed = session(&other);
        block_on(resumed.resume(&mut &file[..], None, &mut go)).expect("it resumes");
        assert_eq!(continued(&mut resumed, 10), expected, "{kv}");
    }

    let plain = engine(&model, &EngineOptions::default(), false);
    let prompt = text(&model, 40);
    let mut whole = session(&plain);
    block_on(whole.prefill(&prompt, &mut go)).expect("room");
    let file = saved(&whole);
    let mut other = session(&plain);
    let mut resume = |file: &[u8], expected: Option<&[u32]>| {
        block_on(other.resume(&mut &*file, expected, &mut go)).err()
    };
    // A change anywhere is found, and so is every shortening.
    for at in (0..file.len()).step_by(file.len() / 40) {
        let mut bad = file.clone();
        bad[at] ^= 0x10;
        assert!(
            matches!(resume(&bad, None), Some(Error::Snapshot(_))),
            "byte {at}"
        );
        assert!(
            matches!(resume(&file[..at], None), Some(Error::Snapshot(_))),
            "cut at {at}"
        );
    }
    assert_eq!(
        resume(&[&file[..], &[0]].concat(), None),
        Some(SnapshotError::Damaged("something follows its end").into())
    );
    let mut others = prompt.clone();
    others[7] ^= 1;
    assert_eq!(
        resume(&file, Some(&others)),
        Some(SnapshotError::Tokens(7).into())
    );
    assert_eq!(
        resume(&file, Some(&prompt[..39])),
        Some(SnapshotError::Tokens(39).into())
    );
    assert_eq!(resume(&file, Some(&prompt)), None);
    let kv = "q8_0".parse().expect("a type");
    let mut foreign = session(&engine(
        &model,
        &EngineOptions {
            kv,
            ..Default::default()
        },
        false,
    ));
    let error = block_on(foreign.resume(&mut &file[..], None, &mut go));
    assert!(
        matches!(error, Err(Error::Snapshot(SnapshotError::Foreign { .. }))),
        "{error:?}"
    );
}

#[test]
fn prompts_on_disk_save_the_work_and_change_nothing() {
    let shape: godwit::Synthetic = "tiny:q8_0,vocab=512".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let engine = block_on(Engine::load(
        gpu(false),
        &model,
        &EngineOptions::default(),
        &mut godwit::unwatched,
    ))
    .expect("it loads");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..8300_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let mut first = session(&engine);
    let reuse = block_on(cache.prefill(&mut first, &prompt, &mut go)).expect("room");
    assert_eq!((reuse.kept, reuse.loaded, reuse.computed), (0, 0, 8300));
    let expected = block_on(first.logits()).expect("logits");
    let files = || {
        std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|e| e.expect("a file").path())
            .collect::<Vec<_>>()
    };
    assert_eq!(files().len(), 2);

    // The same prompt, in another session: two blocks come from disk.
    let mut second = session(&engine);
    let reuse = block_on(cache.prefill(&mut second, &prompt, &mut go)).expect("room");
    assert_eq!((reuse.kept, reuse.loaded, reuse.computed), (0, 8192, 108));
    assert_eq!(block_on(second.logits()).expect("logits"), expected);

    // Another second half: one block.
    let mut changed = prompt.clone();
    changed[5000] = 3;
    let reuse = block_on(cache.prefill(&mut session(&engine), &changed, &mut go)).expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (4096, 4204));
    assert_eq!(files().len(), 3);

    // An interrupted prompt goes on where it stopped.
    let other: Vec<u32> = prompt.iter().rev().copied().collect();
    let mut stop = |now: Progress| {
        if now.done > 5000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    assert_eq!(
        block_on(cache.prefill(&mut session(&engine), &other, &mut stop)),
        Err(Error::Stopped)
    );
    let reuse = block_on(cache.prefill(&mut session(&engine), &other, &mut go)).expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (4096, 4204));

    // A damaged block costs time, not the answer.
    for path in files() {
        let mut bytes = std::fs::read(&path).expect("a block");
        let at = bytes.len() - 1000;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("a damaged block");
    }
    let mut third = session(&engine);
    let reuse = block_on(cache.prefill(&mut third, &prompt, &mut go)).expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (0, 8300));
    assert_eq!(block_on(third.logits()).expect("logits"), expected);

    // A small cache keeps what was used last.
    let small = PrefixCache::new(
        folder.path(),
        2 * std::fs::metadata(&files()[0]).expect("a file").len(),
    );
    block_on(small.prefill(&mut session(&engine), &prompt[1..], &mut go)).expect("room");
    assert!(files().len() <= 2, "{:?}", files());
    // A folder that can't be is no reason to stop.
    let nowhere = PrefixCache::new("/dev/null/cache", 1 << 30);
    block_on(nowhere.prefill(&mut session(&engine), &prompt[..4100], &mut go)).expect("it goes on");
}

/// A prompt that does not fit costs nothing, and takes nothing from the session, whoever reads it.
#[test]
fn prompts_that_do_not_fit_are_refused_first() {
    let model = "tiny:q8_0,vocab=512,context=4200"
        .parse::<godwit::Synthetic>()
        .expect("a shape")
        .model();
    let engine = engine(&model.expect("a model"), &EngineOptions::default(), false);
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..4201_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let mut session = session(&engine);
    block_on(cache.prefill(&mut session, &prompt[1..50], &mut go)).expect("room");
    let held = session.tokens().to_vec();

    let mut never = |now: Progress| {
        assert_eq!(now.done, u64::MAX, "some tokens were read: {now:?}");
        ControlFlow::Break(())
    };
    let refused = Error::ContextFull {
        tokens: 4201,
        used: 0,
        context: 4200,
    };
    assert_eq!(
        block_on(cache.prefill(&mut session, &prompt, &mut never)),
        Err(refused.clone())
    );
    let foreign = [&prompt[..4150], &[512]].concat();
    let unknown = Error::NoSuchToken {
        id: 512,
        vocab: 512,
    };
    assert_eq!(
        block_on(cache.prefill(&mut session, &foreign, &mut never)),
        Err(unknown.clone())
    );
    let mut squares = InputSquares::default();
    assert_eq!(
        block_on(session.calibrate(&prompt, &mut squares)),
        Err(refused)
    );
    assert_eq!(
        block_on(session.calibrate(&foreign, &mut squares)),
        Err(unknown)
    );
    assert!(block_on(session.prefill(&prompt, &mut never)).is_err());
    assert!(
        block_on(session.score(&prompt, &mut |at, _| assert_eq!(at, usize::MAX, "scored")))
            .is_err()
    );

    assert_eq!(session.tokens(), held);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
    let mut fresh = godwit_tests::model::session(&engine);
    block_on(fresh.prefill(&held, &mut go)).expect("room");
    assert_eq!(continued(&mut session, 8), continued(&mut fresh, 8));
}

#[test]
fn the_memory_plan_is_what_is_taken() {
    let gpu = gpu(false);
    for shape in ["tiny:q4_k", "smollm2-135m:q4_0,layers=3"] {
        let model = shape
            .parse::<godwit::Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        for kv in ["f16", "q4_0"] {
            let (kv, context) = (kv.parse().expect("a type"), ContextSize::Tokens(5000));
            let options = EngineOptions {
                context,
                kv,
                ..EngineOptions::default()
            };
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
