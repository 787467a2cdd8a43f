//! Schedulers: sequences that share an engine, computed step by step.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godwit::FinishReason;
use godwit::scheduler::{
    Budget, Event, Mode, RequestId, Scheduler, SchedulerOptions, SequenceId, SliceTime,
};

use crate::arguments::{Struct, check_out_struct, out_handle, out_struct, out_text, out_value};
use crate::border::{border, border_of, panic_point};
use crate::engine::godwit_engine;
use crate::handles::{self, Object};
use crate::model::{ModelEntry, try_lock};
use crate::sequence::{godwit_request, godwit_sequence};
use crate::status::{Failure, Outcome, godwit_status};

/// Sequences that share an engine. 0 is none. One call at a time: while a call is in a scheduler,
/// others with it or with its sequences return GODWIT_BUSY.
pub type godwit_scheduler = u64;

/// Whole steps are submitted: on a loading screen, or where nothing is drawn.
pub const GODWIT_MODE_FREE: u32 = 0;
/// A slice of a step is submitted in each `godwit_step`, which never waits for the GPU.
pub const GODWIT_MODE_FRAMES: u32 = 1;
/// Nothing is submitted. What was submitted arrives.
pub const GODWIT_MODE_PAUSED: u32 = 2;

/// A reply is the same, to the last bit, whatever other requests there are.
pub const GODWIT_DETERMINISTIC: u32 = 1;

/// There is no event.
pub const GODWIT_EVENT_NONE: u32 = 0;
/// A part of a reply: a token, and the text that is certain with it.
pub const GODWIT_EVENT_PIECE: u32 = 1;
/// A reply ended. Its request's handle is closed with this event.
pub const GODWIT_EVENT_FINISHED: u32 = 2;
/// A request failed: `status` says why, and the text describes it. Its handle is closed with this
/// event; its sequence can be used.
pub const GODWIT_EVENT_FAILED: u32 = 3;

/// The model ended its turn.
pub const GODWIT_FINISH_END_OF_TURN: u32 = 1;
/// A stop string came; it is not part of the text.
pub const GODWIT_FINISH_STOP_STRING: u32 = 2;
/// As many tokens as were asked for.
pub const GODWIT_FINISH_LENGTH: u32 = 3;
/// The context is full.
pub const GODWIT_FINISH_CONTEXT: u32 = 4;
/// The GPU has no memory for another token.
pub const GODWIT_FINISH_MEMORY: u32 = 5;
/// `godwit_cancel` ended it.
pub const GODWIT_FINISH_CANCELLED: u32 = 6;
/// Another reason, which this header does not know.
pub const GODWIT_FINISH_OTHER: u32 = 7;

/// `token` of an event that has text alone.
pub const GODWIT_NO_TOKEN: u32 = u32::MAX;

/// What a scheduler may use. All zero is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_scheduler_options {
    /// sizeof(godwit_scheduler_options).
    pub size: usize,
    /// Bytes of GPU memory for keys and values of all sequences. 0: as many as one sequence of the
    /// engine's context takes.
    pub kv_memory: u64,
    /// Bytes of host memory for keys and values that have to leave the GPU. 0: 2 GiB. UINT64_MAX:
    /// none; they are computed again.
    pub host_memory: u64,
    /// Requests that take part in steps at once. 0: 32.
    pub max_running: u32,
    /// Requests that wait at most. 0: 1024.
    pub max_waiting: u32,
    /// Tokens of prompts in a step at most. 0: as many as suit.
    pub prompt_tokens: u32,
    /// For programs that draw: microseconds of a frame's GPU time that the scheduler may take. It
    /// then begins in GODWIT_MODE_FRAMES. 0: it begins in GODWIT_MODE_FREE.
    pub frame_budget: u32,
    /// GODWIT_DETERMINISTIC, or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_scheduler_options {}

/// What a step did.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_step_report {
    /// sizeof(godwit_step_report).
    pub size: usize,
    /// Replies that one more token is computed for.
    pub decoded: u32,
    /// Tokens of prompts that are computed.
    pub prompt_tokens: u32,
    /// Not 0: nothing was submitted, because the work before is not done, or the mode is
    /// GODWIT_MODE_PAUSED.
    pub is_waiting: u32,
    /// Not 0: there are requests that have not ended, or events that were not taken.
    pub has_work: u32,
    /// Microseconds that the newest slice took on the GPU that was found to be done; 0: none was.
    pub slice_took: u32,
    /// Microseconds that it was to take.
    pub slice_budget: u32,
    /// Not 0: it was not done when the next frame asked.
    pub slice_is_late: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_step_report {}

/// What happened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_event {
    /// sizeof(godwit_event).
    pub size: usize,
    /// The request.
    pub request: godwit_request,
    /// Its sequence; 0 where that was closed.
    pub sequence: godwit_sequence,
    /// Bytes of the text: of a piece, or of an error's description.
    pub text_length: usize,
    /// GODWIT_EVENT_NONE, GODWIT_EVENT_PIECE and so on.
    pub kind: u32,
    /// Of a piece: the token, or GODWIT_NO_TOKEN.
    pub token: u32,
    /// Of an end: GODWIT_FINISH_END_OF_TURN and so on.
    pub reason: u32,
    /// Of a failure: a `godwit_status`.
    pub status: i32,
    /// Of an end: tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of an end: those of them that were found in the cache.
    pub cached_tokens: u32,
    /// Of an end: tokens of the reply.
    pub reply_tokens: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_event {}

/// What a scheduler has in use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_load {
    /// sizeof(godwit_load).
    pub size: usize,
    /// Bytes on the GPU, the weights included.
    pub gpu_bytes: u64,
    /// Requests that take part in steps.
    pub running: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Pages of 64 tokens that sequences use.
    pub used_pages: u32,
    /// Pages that there is memory for now.
    pub pages: u32,
    /// Pages on the host.
    pub host_pages: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_load {}

/// A scheduler, and what may be said to it while a call is in it.
pub(crate) struct SchedulerEntry {
    pub model: Arc<ModelEntry>,
    /// None: it was closed.
    state: Mutex<Option<State>>,
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
    pub requests: HashMap<RequestId, RequestEntry>,
    /// An event that the caller had too little room for.
    pending: Option<Event>,
}

/// A request that has not ended.
pub(crate) struct RequestEntry {
    pub handle: godwit_request,
    pub sequence: SequenceId,
    pub sequence_handle: godwit_sequence,
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

    /// Nobody knows its state: it is not used again.
    pub fn give_up(&self) {
        self.is_dead.store(true, Ordering::Release);
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Opens a scheduler on an engine. A program needs one; each has its own KV cache.
///
/// @param options    may be null
/// @param scheduler  takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_scheduler_open(
    engine: godwit_engine,
    options: *const godwit_scheduler_options,
    scheduler: *mut godwit_scheduler,
) -> godwit_status {
    border(|| {
        // SAFETY: `scheduler` is null or valid.
        unsafe { out_handle("scheduler", scheduler) }?;
        let entry = handles::engine(engine)?;
        // SAFETY: `options` is null or valid for its size.
        let given = unsafe { crate::arguments::options("godwit_scheduler_options", options) }?;
        if given.flags & !GODWIT_DETERMINISTIC != 0 {
            return Err(Failure::argument(format!(
                "godwit_scheduler_options.flags are {:#x}; known is 1",
                given.flags
            )));
        }
        let usual = SchedulerOptions::default();
        let or = |given: u32, usual: u32| if given == 0 { usual } else { given };
        let host_memory = match given.host_memory {
            0 => usual.host_memory,
            u64::MAX => 0,
            bytes => bytes,
        };
        let max_waiting = match given.max_waiting {
            0 => usual.max_waiting,
            count => count as usize,
        };
        let max_running = or(given.max_running, usual.max_running);
        let some = |value: u32| Some(value).filter(|&value| value > 0);
        let frame_budget = some(given.frame_budget).map(|us| Duration::from_micros(us.into()));
        let options = usual
            .kv_memory(Some(given.kv_memory).filter(|&bytes| bytes > 0))
            .host_memory(host_memory)
            .max_running(max_running)
            .max_waiting(max_waiting)
            .prompt_tokens(some(given.prompt_tokens))
            .frame_budget(frame_budget)
            .deterministic(given.flags & GODWIT_DETERMINISTIC != 0);
        let opened = pollster::block_on(Scheduler::new(&entry.engine, &options))?;
        let opened = SchedulerEntry {
            model: entry.model.clone(),
            state: Mutex::new(Some(State {
                scheduler: opened,
                requests: HashMap::new(),
                pending: None,
            })),
            is_dead: AtomicBool::new(false),
            cancelled: Mutex::new(Vec::new()),
            cancels_all: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        };
        let new = handles::insert(Object::Scheduler(Arc::new(opened)))?;
        // SAFETY: Checked above.
        unsafe { out_value("scheduler", scheduler, new, false) }
    })
}

/// Closes a scheduler with all its sequences and requests. Also one that panicked.
///
/// @return GODWIT_BUSY while another call is in it; then it is not closed
#[unsafe(no_mangle)]
pub extern "C" fn godwit_scheduler_close(scheduler: godwit_scheduler) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        let state = try_lock(&entry.state, "scheduler")?.take();
        handles::remove_scheduler(&entry);
        drop(state);
        Ok(())
    })
}

/// Changes when work is submitted. No mode changes a reply.
///
/// @param mode          GODWIT_MODE_FREE, GODWIT_MODE_FRAMES or GODWIT_MODE_PAUSED
/// @param frame_budget  of GODWIT_MODE_FRAMES: microseconds of GPU time of a slice; else ignored
#[unsafe(no_mangle)]
pub extern "C" fn godwit_scheduler_set_mode(
    scheduler: godwit_scheduler,
    mode: u32,
    frame_budget: u32,
) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        let mode = match mode {
            GODWIT_MODE_FREE => Mode::Free,
            GODWIT_MODE_PAUSED => Mode::Paused,
            GODWIT_MODE_FRAMES if frame_budget == 0 => {
                return Err(Failure::argument("frame_budget is 0 microseconds"));
            }
            GODWIT_MODE_FRAMES => Mode::Frames {
                gpu: Duration::from_micros(frame_budget.into()),
            },
            _ => {
                return Err(Failure::argument(format!(
                    "mode is {mode}; known are 0 to 2"
                )));
            }
        };
        entry.hold()?.state()?.scheduler.set_mode(mode);
        Ok(())
    })
}

/// Compiles all kernels and allocates all memory that frames need: afterwards no `godwit_step`
/// does. Takes seconds: call it before anything is drawn, or on another thread.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_scheduler_warm_up(scheduler: godwit_scheduler) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        let mut held = entry.hold()?;
        Ok(pollster::block_on(held.state()?.scheduler.warm_up())?)
    })
}

/// Says what a scheduler has in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_scheduler_load(
    scheduler: godwit_scheduler,
    load: *mut godwit_load,
) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        let found = entry.hold()?.state()?.scheduler.load();
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let found = godwit_load {
            size: 0,
            gpu_bytes: found.gpu_bytes,
            running: narrow(found.running),
            waiting: narrow(found.waiting),
            used_pages: found.pages[0],
            pages: found.pages[1],
            host_pages: narrow(found.host_pages),
            reserved: 0,
        };
        // SAFETY: `load` is null or valid for its size.
        unsafe { out_struct("godwit_load", load, &found) }
    })
}

/// Submits work, and takes what has arrived. In GODWIT_MODE_FRAMES call it once a frame, after the
/// frame was submitted: it never waits for the GPU. In GODWIT_MODE_FREE call `godwit_wait` after
/// it. Then take the events.
///
/// @param frame_budget  microseconds of GPU time of this frame's slice; 0: the mode's
/// @param report        takes what it did; may be null
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_step(
    scheduler: godwit_scheduler,
    frame_budget: u32,
    report: *mut godwit_step_report,
) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        if !report.is_null() {
            // SAFETY: `report` is valid for its size.
            unsafe { check_out_struct("godwit_step_report", report) }?;
        }
        let mut held = entry.hold()?;
        let state = held.state()?;
        let gpu = Some(frame_budget).filter(|&budget| budget > 0);
        let gpu = gpu.map(|us| Duration::from_micros(us.into()));
        let done = pollster::block_on(state.scheduler.step(Budget::default().gpu(gpu)))?;
        if report.is_null() {
            return Ok(());
        }
        let slice = done.slice;
        let time = |of: fn(SliceTime) -> Duration| slice.map_or(0, |slice| microseconds(of(slice)));
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // Each request has an end that is not taken.
        let has_work = !state.requests.is_empty() || state.pending.is_some();
        let found = godwit_step_report {
            size: 0,
            decoded: narrow(done.decoded),
            prompt_tokens: narrow(done.prompt_tokens),
            is_waiting: done.is_waiting.into(),
            has_work: has_work.into(),
            slice_took: time(|slice| slice.gpu),
            slice_budget: time(|slice| slice.budget),
            slice_is_late: slice.is_some_and(|slice| slice.is_late).into(),
            reserved: 0,
        };
        // SAFETY: As above.
        unsafe { out_struct("godwit_step_report", report, &found) }
    })
}

/// Waits until something that was submitted is done. Returns at once where `godwit_step` may submit
/// more, so that a loop of both keeps the GPU busy and never spins. Not for threads that draw.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_wait(scheduler: godwit_scheduler) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        let mut held = entry.hold()?;
        Ok(pollster::block_on(held.state()?.scheduler.wait())?)
    })
}

/// Takes the next event: in a loop, until it is GODWIT_EVENT_NONE.
///
/// @param event     takes it
/// @param text      takes the event's text in UTF-8, and a 0 behind it; may be null where
///                  `capacity` is 0
/// @param capacity  bytes of `text`; 256 are enough for pieces
///
/// @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `text_length` + 1: the event comes
///         again, with the same text
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_next_event(
    scheduler: godwit_scheduler,
    event: *mut godwit_event,
    text: *mut c_char,
    capacity: usize,
) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        // SAFETY: `event` is null or valid for its size.
        unsafe { check_out_struct("godwit_event", event) }?;
        let mut held = entry.hold()?;
        let state = held.state()?;
        let next = state.pending.take();
        let next = next.or_else(|| state.scheduler.next_event());
        let (found, said) = state.describe(next.as_ref());
        // SAFETY: `event` as above; `text` is null or valid for `capacity` bytes.
        unsafe { out_struct("godwit_event", event, &found) }?;
        if let Some(next) = next {
            // SAFETY: As above.
            let written = unsafe { out_text(&said, text, capacity) };
            if !said.is_empty()
                && let Err(error) = written
            {
                state.pending = Some(next);
                return Err(error);
            }
        }
        if matches!(found.kind, GODWIT_EVENT_FINISHED | GODWIT_EVENT_FAILED) {
            state
                .requests
                .retain(|_, request| request.handle != found.request);
            handles::remove(found.request);
        }
        Ok(())
    })
}

impl State {
    /// An event as C has it, and its text.
    fn describe(&self, event: Option<&Event>) -> (godwit_event, String) {
        let mut found = godwit_event {
            size: 0,
            request: 0,
            sequence: 0,
            text_length: 0,
            kind: GODWIT_EVENT_NONE,
            token: GODWIT_NO_TOKEN,
            reason: 0,
            status: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            reply_tokens: 0,
            reserved: 0,
        };
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut said = String::new();
        let of = match event {
            Some(Event::Piece { request, piece, .. }) => {
                found.kind = GODWIT_EVENT_PIECE;
                found.token = piece.token.unwrap_or(GODWIT_NO_TOKEN);
                said.clone_from(&piece.text);
                request
            }
            Some(Event::Finished {
                request,
                reason,
                usage,
            }) => {
                found.kind = GODWIT_EVENT_FINISHED;
                found.reason = number_of(reason);
                found.prompt_tokens = narrow(usage.prompt_tokens);
                found.cached_tokens = narrow(usage.cached_tokens);
                found.reply_tokens = narrow(usage.completion_tokens);
                request
            }
            Some(Event::Failed { request, error }) => {
                let failure = Failure::from(error.clone());
                found.kind = GODWIT_EVENT_FAILED;
                found.status = failure.status as i32;
                said = failure.message;
                request
            }
            // An event of a kind that this interface does not know is none.
            Some(_) | None => return (found, said),
        };
        if let Some(request) = self.requests.get(of) {
            found.request = request.handle;
            let sequence = request.sequence_handle;
            let is_open = handles::sequence(sequence).is_ok();
            found.sequence = if is_open { sequence } else { 0 };
        }
        found.text_length = said.len();
        (found, said)
    }
}

fn number_of(reason: &FinishReason) -> u32 {
    match reason {
        FinishReason::EndOfTurn => GODWIT_FINISH_END_OF_TURN,
        FinishReason::StopString => GODWIT_FINISH_STOP_STRING,
        FinishReason::Length => GODWIT_FINISH_LENGTH,
        FinishReason::Context => GODWIT_FINISH_CONTEXT,
        FinishReason::Memory(_) => GODWIT_FINISH_MEMORY,
        FinishReason::Cancelled => GODWIT_FINISH_CANCELLED,
        _ => GODWIT_FINISH_OTHER,
    }
}

/// Ends a request; or all requests of a scheduler, and a snapshot that it writes or reads; or the
/// loading of a model. It works at any time, on any thread, also while another call is in the
/// scheduler: what was submitted is not taken back, and nothing more is submitted. The request's
/// end comes as an event.
///
/// @param handle  of a request, a scheduler or a model
///
/// @return GODWIT_BAD_HANDLE also where the request has ended
#[unsafe(no_mangle)]
pub extern "C" fn godwit_cancel(handle: u64) -> godwit_status {
    border_of(handle, || {
        match handles::cancellable(handle)? {
            Object::Request(entry, request) => {
                let mut cancelled = entry
                    .cancelled
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                // Nobody needs to say it a thousand times.
                if !cancelled.contains(&request) {
                    cancelled.push(request);
                }
            }
            Object::Scheduler(entry) => {
                entry.cancels_all.store(true, Ordering::Release);
                entry.is_stopped.store(true, Ordering::Release);
            }
            Object::Model(entry) => entry.is_stopped.store(true, Ordering::Release),
            Object::Engine(_) | Object::Sequence(..) => {}
        }
        Ok(())
    })
}
