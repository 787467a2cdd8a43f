//! Sequences: forks, snapshots, cancelling, frames, and calls at once.

use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_capi::godwit_status::*;
use godwit_capi::*;

use crate::calls::*;

const QUESTION: &str = "Tell me about the sea.";

/// The ids of the Rust interface.
fn ids_of_rust(max_tokens: usize) -> Vec<u32> {
    use godwit::scheduler::{Budget, Event, Request, Scheduler, SchedulerOptions, SequenceOptions};
    use godwit::{EngineOptions, Message, Sampling};
    use godwit_tests::model::{engine, smollm2};
    let model = smollm2();
    let chat = model.chat().expect("a template");
    let question = [Message::user(QUESTION)];
    let prompt = chat.encode(model.tokenizer(), &question, true);
    let options = EngineOptions::default().context(godwit::ContextSize::Tokens(1024));
    let engine = engine(&model, &options, false);
    pollster::block_on(async {
        let options = SchedulerOptions::default().max_running(4);
        let mut scheduler = Scheduler::new(&engine, &options).await.expect("room");
        let sequence = scheduler.open(&SequenceOptions::default());
        let request = Request::new(prompt.expect("ids"))
            .sampling(Sampling::greedy())
            .max_tokens(max_tokens);
        scheduler.submit(sequence, request).expect("it is taken");
        let mut ids = Vec::new();
        while scheduler.has_work() {
            scheduler.step(Budget::default()).await.expect("a step");
            scheduler.wait().await.expect("it is done");
            while let Some(event) = scheduler.next_event() {
                if let Event::Piece { piece, .. } = event {
                    ids.extend(piece.token);
                }
            }
        }
        ids
    })
}

#[test]
fn ids_are_those_of_rust_with_and_without_frames() {
    let expected = ids_of_rust(40);
    assert_eq!(expected.len(), 40);
    for budget in [0, 2_000, 50_000] {
        let scheduler = scheduler(engine(), budget);
        if budget > 0 {
            ok(godwit_scheduler_warm_up(scheduler));
        }
        let found = end(scheduler, say(sequence(scheduler), QUESTION, 40));
        assert_eq!(found.ids, expected, "a budget of {budget}");
        assert_eq!(found.reason, GODWIT_FINISH_LENGTH);
        ok(godwit_scheduler_close(scheduler));
    }
}

#[test]
fn a_fork_goes_on_as_its_parent() {
    let scheduler = scheduler(engine(), 0);
    let parent = sequence(scheduler);
    let whole = end(scheduler, say(parent, QUESTION, 16));
    let held = tokens(parent);
    let prompt = held.len() - 16;
    // SAFETY: The handle's place is valid.
    let fork = opened(|fork| unsafe { godwit_sequence_fork(parent, prompt + 4, fork) });
    assert_eq!(tokens(fork), held[..prompt + 4]);
    ok(godwit_sequence_set_priority(fork, 3));
    let mut options = sized!(godwit_reply_options);
    (options.flags, options.max_tokens) = (GODWIT_GREEDY, 12);
    let options = &raw const options;
    // SAFETY: There are no ids, and the options are valid.
    let request = opened(|made| unsafe { godwit_reply(fork, null(), 0, options, made) });
    assert_eq!(end(scheduler, request).ids, whole.ids[4..]);
    assert_eq!(tokens(fork), held);
    ok(godwit_sequence_truncate(fork, 5));
    assert_eq!(tokens(fork), held[..5]);
    ok(godwit_sequence_close(fork));
    assert_eq!(godwit_sequence_close(fork), GODWIT_BAD_HANDLE);
    assert_eq!(tokens(parent), held);
    ok(godwit_scheduler_close(scheduler));
    assert_eq!(godwit_sequence_close(parent), GODWIT_BAD_HANDLE);
}

#[test]
fn only_what_is_new_of_a_conversation_is_computed() {
    let scheduler = scheduler(engine(), 0);
    let chat = sequence(scheduler);
    let first = end(scheduler, say(chat, QUESTION, 8));
    let again = end(scheduler, say(chat, QUESTION, 8));
    assert!(first.prompt_tokens > 30, "{first:?}");
    assert!(again.prompt_tokens <= 1, "{again:?}");
    assert_eq!(first.ids, again.ids);
    ok(godwit_scheduler_close(scheduler));
}

#[test]
fn a_savegame_goes_on_as_its_sequence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("game.kv");
    let path = path.to_str().expect("UTF-8");
    let (path_at, length) = parts(path);
    let one = scheduler(engine(), 0);
    let saved = sequence(one);
    end(one, say(saved, QUESTION, 8));
    // SAFETY: The path is valid.
    ok(unsafe { godwit_sequence_save(saved, path_at, length) });
    let go_on = |scheduler, sequence| {
        let mut options = sized!(godwit_reply_options);
        (options.flags, options.max_tokens) = (GODWIT_GREEDY, 8);
        let options = &raw const options;
        // SAFETY: There are no ids, and the options are valid.
        let request = opened(|made| unsafe { godwit_reply(sequence, null(), 0, options, made) });
        end(scheduler, request).ids
    };
    let held = tokens(saved);
    let expected = go_on(one, saved);
    ok(godwit_scheduler_close(one));

    // Of another scheduler, over a conversation of its own.
    let other = scheduler(engine(), 0);
    let restored = sequence(other);
    end(other, say(restored, "What is 2 + 2?", 3));
    // SAFETY: The path is valid.
    ok(unsafe { godwit_sequence_restore(restored, path_at, length) });
    assert_eq!(
        tokens(restored),
        held,
        "the last token, too, which was not computed"
    );
    assert_eq!(go_on(other, restored), expected);

    // What is no snapshot, is damaged, or not there.
    let mut bytes = std::fs::read(path).expect("the file");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(path, &bytes).expect("room");
    let restore = |path: &str| {
        let (path, length) = parts(path);
        // SAFETY: The path is valid.
        unsafe { godwit_sequence_restore(restored, path, length) }
    };
    assert_eq!(restore(path), GODWIT_BAD_SNAPSHOT);
    assert!(last_error().contains(path), "{}", last_error());
    std::fs::write(path, b"a savegame of 1998").expect("room");
    assert_eq!(restore(path), GODWIT_BAD_SNAPSHOT);
    assert_eq!(restore(&format!("{path}.none")), GODWIT_FILE);
    assert_eq!(restore(folder.path().to_str().expect("UTF-8")), GODWIT_FILE);
    // SAFETY: The path is valid.
    let empty = unsafe { godwit_sequence_save(sequence(other), path_at, length) };
    assert_eq!(empty, GODWIT_BAD_ARGUMENT);
    assert!(
        end(other, say(restored, QUESTION, 2)).ids.len() == 2,
        "it can be used"
    );
    ok(godwit_scheduler_close(other));
}

#[test]
fn a_call_at_once_is_busy_and_cancel_works() {
    let scheduler = scheduler(engine(), 0);
    let chat = sequence(scheduler);
    let request = say(chat, QUESTION, 900);
    let has_ended = AtomicBool::new(false);
    let (mut busy, mut other) = (0_u64, 0_u64);
    std::thread::scope(|scope| {
        let computing = scope.spawn(|| {
            // `end` would meet the calls of the other thread; this one tries again.
            let again = |call: &dyn Fn() -> godwit_status| {
                loop {
                    match call() {
                        GODWIT_BUSY => std::thread::yield_now(),
                        status => return ok(status),
                    }
                }
            };
            loop {
                // SAFETY: No report is wanted.
                again(&|| unsafe { godwit_step(scheduler, 0, std::ptr::null_mut()) });
                again(&|| godwit_wait(scheduler));
                let mut event = sized!(godwit_event);
                let (mut text, event_at) = ([0_u8; 256], &raw mut event);
                let text_at = text.as_mut_ptr().cast();
                // SAFETY: The event and the text's place are valid.
                again(&|| unsafe { godwit_next_event(scheduler, event_at, text_at, 256) });
                if event.kind == GODWIT_EVENT_FINISHED {
                    has_ended.store(true, Ordering::SeqCst);
                    return event;
                }
            }
        });
        // Meanwhile: each call returns at once.
        while busy < 200 && !has_ended.load(Ordering::SeqCst) {
            let began = std::time::Instant::now();
            let mut load = sized!(godwit_load);
            // SAFETY: The load's place is valid.
            match unsafe { godwit_scheduler_load(scheduler, &raw mut load) } {
                GODWIT_BUSY => {
                    assert!(last_error().contains("another call"));
                    busy += 1;
                }
                status => {
                    ok(status);
                    other += 1;
                    std::thread::yield_now();
                }
            }
            // A step of this model takes 30 ms here; a machine in use may pause a thread.
            assert!(began.elapsed().as_secs() < 5);
        }
        assert!(busy >= 200, "{busy} calls were busy, {other} were not");
        ok(godwit_cancel(request));
        ok(godwit_cancel(request));
        let event = computing.join().expect("it ends");
        assert_eq!((event.request, event.sequence), (request, chat));
        assert_eq!(event.reason, GODWIT_FINISH_CANCELLED);
        assert!(event.reply_tokens < 900);
    });
    assert_eq!(godwit_cancel(request), GODWIT_BAD_HANDLE, "it has ended");
    // All of a scheduler.
    let requests = [
        say(chat, QUESTION, 50),
        say(sequence(scheduler), QUESTION, 50),
    ];
    ok(godwit_cancel(scheduler));
    for ended in ends(scheduler, requests) {
        assert_eq!(ended.reason, GODWIT_FINISH_CANCELLED);
    }
    assert_eq!(
        end(scheduler, say(chat, QUESTION, 3)).ids.len(),
        3,
        "it can be used"
    );
    ok(godwit_scheduler_close(scheduler));
}

#[test]
fn loading_is_watched_busy_and_cancelled() {
    let path = file();
    let (path, length) = parts(path.to_str().expect("UTF-8"));
    // SAFETY: The path is valid.
    let model = opened(|model| unsafe { godwit_model_open(path, length, model) });
    let load = || {
        let mut engine = 7;
        // SAFETY: No options are given, and the handle's place is valid.
        let status = unsafe { godwit_engine_load(model, null(), &raw mut engine) };
        (status, engine)
    };
    std::thread::scope(|scope| {
        let loading = scope.spawn(load);
        let (mut done, mut total) = (0, 0);
        while total == 0 && !loading.is_finished() {
            // SAFETY: The places are valid.
            ok(unsafe { godwit_model_progress(model, &raw mut done, &raw mut total) });
            std::thread::yield_now();
        }
        assert!(done < total, "{done} of {total}");
        assert_eq!(load(), (GODWIT_BUSY, 0));
        ok(godwit_cancel(model));
        assert_eq!(loading.join().expect("it ends"), (GODWIT_STOPPED, 0));
    });
    let (status, engine) = load();
    ok(status);
    ok(godwit_engine_close(engine));
    ok(godwit_model_close(model));
}

#[test]
fn what_is_open_goes_on_when_its_origin_is_closed() {
    let path = file();
    let (path, length) = parts(path.to_str().expect("UTF-8"));
    // SAFETY: The path is valid.
    let model = opened(|model| unsafe { godwit_model_open(path, length, model) });
    let engine = load(model);
    ok(godwit_model_close(model));
    let scheduler = scheduler(engine, 0);
    ok(godwit_engine_close(engine));
    assert_eq!(
        end(scheduler, say(sequence(scheduler), QUESTION, 3))
            .ids
            .len(),
        3
    );
    ok(godwit_scheduler_close(scheduler));
    for handle in [model, engine, scheduler] {
        assert_eq!(godwit_model_close(handle), GODWIT_BAD_HANDLE);
        assert_eq!(godwit_engine_close(handle), GODWIT_BAD_HANDLE);
        assert_eq!(godwit_scheduler_close(handle), GODWIT_BAD_HANDLE);
    }
}
