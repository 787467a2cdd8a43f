//! Steps: work that is submitted, waited for, or cancelled.

use std::sync::atomic::Ordering;
use std::time::Duration;

use godwit::scheduler::{Budget, SliceTime};

use crate::arguments::{Struct, check_out_struct, out_struct};
use crate::border::border_of;
use crate::handles::{self, Object};
use crate::scheduler::godwit_scheduler;
use crate::status::godwit_status;

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

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
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
            Object::Request(entry, request) => entry.cancel(request),
            Object::Scheduler(entry) => entry.cancel_all(),
            Object::Model(entry) => entry.is_stopped.store(true, Ordering::Release),
            Object::Engine(_) | Object::Sequence(..) => {}
        }
        Ok(())
    })
}
