//! A panic at each border becomes `GODWIT_PANIC`: the scheduler that it happened in is dead, others
//! live.

use std::collections::BTreeSet;
use std::ptr::{null, null_mut};

use godwit_capi::godwit_status::*;
use godwit_capi::*;

use crate::calls::*;
use crate::header::functions;

/// What a call may work on.
struct Objects {
    scheduler: godwit_scheduler,
    sequence: godwit_sequence,
    request: godwit_request,
}

type Call = fn(&Objects) -> godwit_status;

/// A place for whatever a call writes.
fn place() -> *mut u64 {
    let mut place = vec![0_u64; 512];
    place[0] = 4096;
    // The tests that use it are few.
    Box::leak(place.into_boxed_slice()).as_mut_ptr()
}

/// All functions but those that only return a constant: whether they work on a scheduler, and
/// a call.
// SAFETY: All pointers are to places that are large enough, or null where that is permitted.
const CALLS: [(&str, bool, Call); 35] = unsafe {
    [
        ("godwit_last_error", false, |_| {
            godwit_last_error(null_mut(), 0, null_mut())
        }),
        ("godwit_adapter", false, |_| {
            godwit_adapter(0, null_mut(), null_mut())
        }),
        ("godwit_model_open", false, |_| {
            godwit_model_open(c"".as_ptr(), 0, place())
        }),
        ("godwit_model_open_region", false, |_| {
            godwit_model_open_region(c"".as_ptr(), 0, 0, 0, place())
        }),
        ("godwit_model_close", false, |_| godwit_model_close(model())),
        ("godwit_model_describe", false, |_| {
            godwit_model_describe(model(), place().cast())
        }),
        ("godwit_model_progress", false, |_| {
            godwit_model_progress(model(), place(), place())
        }),
        ("godwit_model_open_memory", false, |_| {
            godwit_model_open_memory(null(), 0, place())
        }),
        ("godwit_model_open_reader", false, |_| {
            godwit_model_open_reader(null(), place())
        }),
        ("godwit_tokenize", false, |_| {
            godwit_tokenize(model(), c"".as_ptr(), 0, 0, null_mut(), 0, place().cast())
        }),
        ("godwit_detokenize", false, |_| {
            godwit_detokenize(model(), null(), 0, null_mut(), 0, place().cast())
        }),
        ("godwit_encode_chat", false, |_| {
            godwit_encode_chat(model(), null(), 0, null_mut(), 0, place().cast())
        }),
        ("godwit_model_estimate", false, |_| {
            godwit_model_estimate(model(), null(), place().cast())
        }),
        ("godwit_engine_load", false, |_| {
            godwit_engine_load(model(), null(), place())
        }),
        ("godwit_engine_close", false, |_| {
            godwit_engine_close(engine())
        }),
        ("godwit_engine_describe", false, |_| {
            godwit_engine_describe(engine(), place().cast())
        }),
        ("godwit_scheduler_open", false, |_| {
            godwit_scheduler_open(engine(), null(), place())
        }),
        ("godwit_scheduler_close", true, |on| {
            godwit_scheduler_close(on.scheduler)
        }),
        ("godwit_scheduler_set_mode", true, |on| {
            godwit_scheduler_set_mode(on.scheduler, 0, 0)
        }),
        ("godwit_scheduler_warm_up", true, |on| {
            godwit_scheduler_warm_up(on.scheduler)
        }),
        ("godwit_scheduler_load", true, |on| {
            godwit_scheduler_load(on.scheduler, place().cast())
        }),
        ("godwit_step", true, |on| {
            godwit_step(on.scheduler, 0, null_mut())
        }),
        ("godwit_wait", true, |on| godwit_wait(on.scheduler)),
        ("godwit_cancel", true, |on| godwit_cancel(on.request)),
        ("godwit_next_event", true, |on| {
            godwit_next_event(on.scheduler, place().cast(), null_mut(), 0)
        }),
        ("godwit_sequence_open", true, |on| {
            godwit_sequence_open(on.scheduler, null(), place())
        }),
        ("godwit_sequence_fork", true, |on| {
            godwit_sequence_fork(on.sequence, 0, place())
        }),
        ("godwit_sequence_set_priority", true, |on| {
            godwit_sequence_set_priority(on.sequence, 0)
        }),
        ("godwit_sequence_truncate", true, |on| {
            godwit_sequence_truncate(on.sequence, 0)
        }),
        ("godwit_sequence_close", true, |on| {
            godwit_sequence_close(on.sequence)
        }),
        ("godwit_sequence_tokens", true, |on| {
            godwit_sequence_tokens(on.sequence, null_mut(), 0, place().cast())
        }),
        ("godwit_reply", true, |on| {
            godwit_reply(on.sequence, [1, 2].as_ptr(), 2, null(), place())
        }),
        ("godwit_say", true, |on| {
            godwit_say(on.sequence, null(), 0, null(), place())
        }),
        ("godwit_sequence_save", true, |on| {
            godwit_sequence_save(on.sequence, c"/no/such/folder".as_ptr(), 15)
        }),
        ("godwit_sequence_restore", true, |on| {
            godwit_sequence_restore(on.sequence, c"/proc/self/exe".as_ptr(), 14)
        }),
    ]
};

#[test]
fn all_functions_have_a_border() {
    let tested: BTreeSet<String> = CALLS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let mut all = functions();
    for constant in ["godwit_abi", "godwit_version"] {
        assert!(all.remove(constant));
    }
    assert_eq!(tested, all);
}

#[test]
fn a_panic_ends_at_each_border() {
    let other = scheduler(engine(), 0);
    for (name, works_on_scheduler, call) in CALLS {
        // At the border, and where a scheduler is held. The two that hold none have one point.
        let holds =
            works_on_scheduler && !matches!(name, "godwit_scheduler_close" | "godwit_cancel");
        for point in 1..=1 + u32::from(holds) {
            let scheduler = scheduler(engine(), 0);
            let sequence = sequence(scheduler);
            let request = say(sequence, "Hello", 4);
            let objects = Objects {
                scheduler,
                sequence,
                request,
            };
            godwit_testing_panic(point);
            let status = call(&objects);
            godwit_testing_panic(0);
            assert_eq!(status, GODWIT_PANIC, "{name}, point {point}");
            if name != "godwit_last_error" {
                let message = last_error();
                assert!(
                    message.contains("injected by a test") && message.contains("panic_point.rs"),
                    "{name}: {message}"
                );
            }
            if !works_on_scheduler {
                ok(godwit_wait(scheduler));
                ok(godwit_scheduler_close(scheduler));
                continue;
            }
            // Only closing works.
            assert_eq!(godwit_wait(scheduler), GODWIT_PANIC, "{name}");
            assert!(last_error().contains("close it"), "{}", last_error());
            assert_eq!(
                godwit_sequence_truncate(sequence, 0),
                GODWIT_PANIC,
                "{name}"
            );
            ok(godwit_cancel(request));
            ok(godwit_scheduler_close(scheduler));
            assert_eq!(godwit_wait(scheduler), GODWIT_BAD_HANDLE, "{name}");
        }
    }
    let found = end(other, say(sequence(other), "Hello", 4));
    assert_eq!(
        found.ids.len(),
        4,
        "another scheduler of the same engine lives"
    );
    ok(godwit_scheduler_close(other));
}
