//! Contexts and prompts on disk.

use super::*;

#[test]
fn saved_contexts_know_where_they_belong() {
    let model = smollm2();
    for kv in ["f16", "q8_0", "q4_0/q8_0"] {
        let kv: KvFormat = kv.parse().expect("a type");
        let first = engine(
            &model,
            &EngineOptions::default().segment_tokens(Some(128)).kv(kv),
            false,
        );
        let mut whole = session(&first);
        block_on(whole.prefill(&text(&model, 200), &mut godwit::unwatched)).expect("room");
        let file = saved(&whole);
        let expected = continued(&mut whole, 10);
        // Other segments, the same tokens.
        let other = engine(
            &model,
            &EngineOptions::default().segment_tokens(Some(64)).kv(kv),
            true,
        );
        let mut resumed = session(&other);
        block_on(resumed.resume(&mut &file[..], None, &mut godwit::unwatched)).expect("it resumes");
        assert_eq!(continued(&mut resumed, 10), expected, "{kv}");
    }

    let plain = engine(&model, &EngineOptions::default(), false);
    let prompt = text(&model, 40);
    let mut whole = session(&plain);
    block_on(whole.prefill(&prompt, &mut godwit::unwatched)).expect("room");
    let file = saved(&whole);
    let mut other = session(&plain);
    let mut resume = |file: &[u8], expected: Option<&[u32]>| {
        block_on(other.resume(&mut &*file, expected, &mut godwit::unwatched)).err()
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
    let mut foreign = session(&engine(&model, &EngineOptions::default().kv(kv), false));
    let error = block_on(foreign.resume(&mut &file[..], None, &mut godwit::unwatched));
    assert!(
        matches!(error, Err(Error::Snapshot(SnapshotError::Foreign { .. }))),
        "{error:?}"
    );
}

#[test]
fn prompts_on_disk_save_the_work_and_change_nothing() {
    let shape: godwit::low_level::Synthetic = "tiny:q8_0,vocab=512".parse().expect("a shape");
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
    let reuse = block_on(cache.prefill(&mut first, &prompt, &mut godwit::unwatched)).expect("room");
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
    let reuse =
        block_on(cache.prefill(&mut second, &prompt, &mut godwit::unwatched)).expect("room");
    assert_eq!((reuse.kept, reuse.loaded, reuse.computed), (0, 8192, 108));
    assert_eq!(block_on(second.logits()).expect("logits"), expected);

    // Another second half: one block.
    let mut changed = prompt.clone();
    changed[5000] = 3;
    let reuse = block_on(cache.prefill(&mut session(&engine), &changed, &mut godwit::unwatched))
        .expect("room");
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
    let reuse = block_on(cache.prefill(&mut session(&engine), &other, &mut godwit::unwatched))
        .expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (4096, 4204));

    // A damaged block costs time, not the answer.
    for path in files() {
        let mut bytes = std::fs::read(&path).expect("a block");
        let at = bytes.len() - 1000;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("a damaged block");
    }
    let mut third = session(&engine);
    let reuse = block_on(cache.prefill(&mut third, &prompt, &mut godwit::unwatched)).expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (0, 8300));
    assert_eq!(block_on(third.logits()).expect("logits"), expected);

    // A small cache keeps what was used last.
    let small = PrefixCache::new(
        folder.path(),
        2 * std::fs::metadata(&files()[0]).expect("a file").len(),
    );
    block_on(small.prefill(&mut session(&engine), &prompt[1..], &mut godwit::unwatched))
        .expect("room");
    assert!(files().len() <= 2, "{:?}", files());
    // A folder that can't be is no reason to stop.
    let nowhere = PrefixCache::new("/dev/null/cache", 1 << 30);
    block_on(nowhere.prefill(
        &mut session(&engine),
        &prompt[..4100],
        &mut godwit::unwatched,
    ))
    .expect("it goes on");
}

/// A prompt that does not fit costs nothing, and takes nothing from the session, whoever reads it.
#[test]
fn prompts_that_do_not_fit_are_refused_first() {
    let model = "tiny:q8_0,vocab=512,context=4200"
        .parse::<godwit::low_level::Synthetic>()
        .expect("a shape")
        .model();
    let engine = engine(&model.expect("a model"), &EngineOptions::default(), false);
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..4201_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let mut session = session(&engine);
    block_on(cache.prefill(&mut session, &prompt[1..50], &mut godwit::unwatched)).expect("room");
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
    block_on(fresh.prefill(&held, &mut godwit::unwatched)).expect("room");
    assert_eq!(continued(&mut session, 8), continued(&mut fresh, 8));
}
