//! Schedulers: sequences that share an engine, computed step by step.

use std::sync::Arc;
use std::time::Duration;

use godwit::scheduler::{Mode, Scheduler, SchedulerOptions};

use crate::arguments::{Struct, check_reserved, out_handle, out_struct, out_value};
use crate::border::{border, border_of};
use crate::engine::godwit_engine;
use crate::entries::{SchedulerEntry, try_lock};
use crate::handles::{self, Object};
use crate::status::{Failure, godwit_status};

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
        check_reserved("godwit_scheduler_options", given.reserved)?;
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
        let opened = SchedulerEntry::new(entry.model.clone(), opened);
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
