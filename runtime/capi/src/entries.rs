//! What handles stand for: models, engines, schedulers, and the locks that calls hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use godwit::scheduler::{Event, RequestId, Scheduler, SequenceId};
use godwit::{Engine, Model, Progress};

use crate::panic_point::panic_point;
use crate::status::{Failure, Outcome, godwit_status};

/// A model, and how far its loading is.
pub(crate) struct ModelEntry {
    pub model: Model,
    /// Held while it is loaded.
    pub loading: Mutex<()>,
    pub done: AtomicU64,
    pub total: AtomicU64,
    /// Whether the loading is to stop.
    pub is_stopped: AtomicBool,
}

impl ModelEntry {
    /// A model that is not loaded.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            loading: Mutex::new(()),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Keeps how far the loading is. Returns whether it goes on.
    pub fn hear(&self, progress: Progress) -> bool {
        self.done.store(progress.done, Ordering::Relaxed);
        self.total.store(progress.total, Ordering::Relaxed);
        !self.is_stopped.load(Ordering::Relaxed)
    }
}

/// An engine, and the model that it was loaded from.
pub(crate) struct EngineEntry {
    pub engine: Engine,
    pub model: Arc<ModelEntry>,
}

/// A scheduler, and what may be said to it while a call is in it.
pub(crate) struct SchedulerEntry {
    pub model: Arc<ModelEntry>,
    /// None: it was closed.
    pub state: Mutex<Option<State>>,
    /// Whether a call panicked in it.
    is_dead: AtomicBool,
    /// Requests to cancel when the next call comes; held for single operations.
    cancelled: Mutex<Vec<RequestId>>,
    cancels_all: AtomicBool,
    /// Whether a snapshot that is being written or read is to stop.
    pub is_stopped: AtomicBool,
}

/// What calls work on, one at a time.
pub(crate) struct State {
    pub scheduler: Scheduler,
    /// Requests that have not ended.
    pub requests: BTreeMap<RequestId, RequestEntry>,
    /// An event that the caller had too little room for.
    pub pending: Option<Event>,
}

/// A request that has not ended.
pub(crate) struct RequestEntry {
    pub handle: u64,
    pub sequence: SequenceId,
    pub sequence_handle: u64,
}

/// A scheduler that a call is in.
pub(crate) struct Held<'a> {
    guard: MutexGuard<'a, Option<State>>,
}

impl Held<'_> {
    /// What the call works on.
    pub fn state(&mut self) -> Outcome<&mut State> {
        self.guard.as_mut().ok_or_else(closed)
    }
}

fn closed() -> Failure {
    let message = "the scheduler was closed";
    Failure::new(godwit_status::GODWIT_BAD_HANDLE, message)
}

impl SchedulerEntry {
    /// A scheduler of this model.
    pub fn new(model: Arc<ModelEntry>, scheduler: Scheduler) -> Self {
        Self {
            model,
            state: Mutex::new(Some(State {
                scheduler,
                requests: BTreeMap::new(),
                pending: None,
            })),
            is_dead: AtomicBool::new(false),
            cancelled: Mutex::new(Vec::new()),
            cancels_all: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Holds the scheduler for a call, and does what was said to it meanwhile.
    pub fn hold(&self) -> Outcome<Held<'_>> {
        let mut held = Held {
            guard: try_lock(&self.state, "scheduler")?,
        };
        if self.is_dead.load(Ordering::Acquire) {
            return Err(Failure::new(
                godwit_status::GODWIT_PANIC,
                "a call panicked in this scheduler before; close it, and open another",
            ));
        }
        panic_point();
        let state = held.state()?;
        let mut cancelled = {
            let mut cancelled = self
                .cancelled
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *cancelled)
        };
        if self.cancels_all.swap(false, Ordering::AcqRel) {
            cancelled.extend(state.requests.keys());
        }
        for request in cancelled {
            state.scheduler.cancel(request);
        }
        Ok(held)
    }

    /// Has a request cancelled by the call that is in the scheduler next.
    pub fn cancel(&self, request: RequestId) {
        let mut cancelled = self
            .cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Nobody needs to say it a thousand times.
        if !cancelled.contains(&request) {
            cancelled.push(request);
        }
    }

    /// Has all requests cancelled by the call that is in the scheduler next, and stops a snapshot.
    pub fn cancel_all(&self) {
        self.cancels_all.store(true, Ordering::Release);
        self.is_stopped.store(true, Ordering::Release);
    }

    /// Nobody knows its state: it is not used again.
    pub fn give_up(&self) {
        self.is_dead.store(true, Ordering::Release);
    }
}

/// What holds a lock while a call lasts, or the error for a second call.
pub(crate) fn try_lock<'a, T>(
    mutex: &'a Mutex<T>,
    what: &str,
) -> Outcome<std::sync::MutexGuard<'a, T>> {
    match mutex.try_lock() {
        Ok(guard) => Ok(guard),
        // The scheduler says itself that a call panicked in it.
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            godwit_status::GODWIT_BUSY,
            format!("another call is using the {what}; call again when it has returned"),
        )),
    }
}
