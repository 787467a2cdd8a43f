//! The border between C and Rust: no panic crosses it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::handles::scheduler_of;
use crate::panic_point::panic_point;
use crate::status::{Failure, Outcome, godwit_status, set_last_error};

/// Runs the body of a function. An error's message is kept for this thread.
pub(crate) fn border(body: impl FnOnce() -> Outcome) -> godwit_status {
    border_of(0, body)
}

/// [`border`] of a function that works on a scheduler, or on what belongs to one: where it panics,
/// nobody knows what state the scheduler is in, and it is not used again.
pub(crate) fn border_of(handle: u64, body: impl FnOnce() -> Outcome) -> godwit_status {
    match guarded(handle, body) {
        Ok(()) => godwit_status::GODWIT_OK,
        Err(Failure { status, message }) => {
            set_last_error(message);
            status
        }
    }
}

/// [`border`] of the function that reads the last error, which it leaves as it is.
pub(crate) fn border_keeping_error(body: impl FnOnce() -> Outcome) -> godwit_status {
    match guarded(0, body) {
        Ok(()) => godwit_status::GODWIT_OK,
        Err(failure) => failure.status,
    }
}

fn guarded(handle: u64, body: impl FnOnce() -> Outcome) -> Outcome {
    be_silent();
    let inside = Inside::enter();
    // Unwind safety: a scheduler that was left halfway is not used again; handles and errors are
    // changed by single operations.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        panic_point();
        body()
    }));
    drop(inside);
    caught.unwrap_or_else(|payload| {
        if let Some(scheduler) = scheduler_of(handle) {
            scheduler.give_up();
        }
        let message = format!(
            "Godwit panicked: {}{}; please report it. A scheduler that it happened in can only be \
             closed",
            said(&*payload),
            place()
        );
        // A payload's destructor may panic, too.
        std::mem::forget(payload);
        Err(Failure::new(godwit_status::GODWIT_PANIC, message))
    })
}

thread_local! {
    /// Calls of Godwit that this thread is in: more than one where a reader calls it.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where this thread panicked last.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// A thread that is in a call of Godwit.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get().saturating_add(1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Has panics print nothing: their message is in the last error. Only this library's panics pass
/// here, because it has a standard library of its own. With the feature `testing` it is part of
/// a Rust program, whose own panics are printed as ever.
fn be_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_own = DEPTH.try_with(Cell::get).is_ok_and(|depth| depth > 0);
            let place = panic.location().map(ToString::to_string);
            let _ = PLACE.try_with(|last| last.set(place));
            if cfg!(feature = "testing") && !is_own {
                usual(panic);
            }
        }));
    });
}

/// Where this thread panicked, in words.
fn place() -> String {
    let place = PLACE.try_with(Cell::take).ok().flatten();
    place.map_or_else(String::new, |place| format!(" ({place})"))
}

/// The message of a panic.
fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
