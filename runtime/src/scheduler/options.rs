//! What a scheduler and its steps may use, and what they report.

use std::time::Duration;

use crate::gpu::SliceTime;
use crate::setters::setters;

/// What a scheduler may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// Bytes of GPU memory for keys and values of all sequences. None: as many as one sequence of
    /// the engine's context takes.
    pub kv_memory: Option<u64>,
    /// Bytes of host memory for keys and values that have to leave the GPU. What has no room there
    /// either is computed again.
    pub host_memory: u64,
    /// Requests that take part in steps at once.
    pub max_running: u32,
    /// Requests that wait; further ones are refused ([`Error::Busy`](crate::Error::Busy)).
    pub max_waiting: usize,
    /// Tokens of prompts in one step at most. None: as many as a pass of a session has.
    pub prompt_tokens: Option<u32>,
    /// Steps that may be in flight at once: 1, or 2. With 2, a step is submitted before the host
    /// has the tokens that the one before it chooses, so that a GPU does not wait for the host.
    /// Replies are the same. Tokens of requests with penalties or speculation, which depend on the
    /// tokens before them, are never computed ahead. More than 2 count as 2. None: what the device
    /// is tuned for, which is 1 on a CPU. One step is in flight at a time, too, while a step takes
    /// longer than half of [`GpuOptions::in_flight_budget`](crate::GpuOptions::in_flight_budget).
    pub steps_in_flight: Option<u32>,
    /// For programs that draw: the GPU time of a frame that the scheduler may take. It then begins
    /// with [`Mode::Frames`] of that time. Passes have few sizes, so that
    /// [`Scheduler::warm_up`](super::Scheduler::warm_up) can prepare all of them; matmuls that
    /// would take longer than a third of it are cut by rows; nothing is guessed, and nothing leaves
    /// the GPU: what has no room is computed again. `prompt_tokens` is 32 where it is not given.
    pub frame_budget: Option<Duration>,
    /// A reply is the same, to the last bit, whatever other requests there are. Without this it may
    /// differ where two tokens are nearly as likely, because the kernel for many rows rounds in
    /// another order than the one for few. Tokens that have to be computed again, because the host
    /// has no room for them, and a KV cache of several segments are exceptions.
    pub deterministic: bool,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            kv_memory: None,
            host_memory: 2 << 30,
            max_running: 32,
            max_waiting: 1024,
            prompt_tokens: None,
            steps_in_flight: None,
            frame_budget: None,
            deterministic: false,
        }
    }
}

setters! { SchedulerOptions {
    kv_memory: Option<u64>,
    host_memory: u64,
    max_running: u32,
    max_waiting: usize,
    prompt_tokens: Option<u32>,
    steps_in_flight: Option<u32>,
    frame_budget: Option<Duration>,
    deterministic: bool,
} }

/// When a scheduler submits work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whole steps, one after the other: where nothing is drawn, or nobody looks.
    #[default]
    Free,
    /// Slices of steps. [`Scheduler::step`](super::Scheduler::step) is called once a frame, after
    /// the frame was submitted, and submits what is expected to take this time, or what
    /// [`Budget::gpu`] says for the frame. It submits nothing while the slice before is not done.
    /// How long anything takes changes no reply.
    Frames {
        /// GPU time of a slice.
        gpu: Duration,
    },
    /// Nothing. What was submitted arrives.
    Paused,
}

/// What a step may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// GPU time for parts of prompts, beside the tokens of running replies. None: a whole pass. In
    /// [`Mode::Frames`], the time of this frame's slice. None: the mode's.
    pub gpu: Option<Duration>,
}

setters! { Budget {
    gpu: Option<Duration>,
} }

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Replies that one more token is computed for.
    pub decoded: usize,
    /// Tokens of prompts that are computed.
    pub prompt_tokens: usize,
    /// Whether as many steps are in flight as may be, or the slice before is not done, or the mode
    /// is [`Mode::Paused`]: then this one did nothing.
    pub is_waiting: bool,
    /// What the newest slice took that was found to be done in this step.
    pub slice: Option<SliceTime>,
}

/// What a scheduler has in use. Pages and bytes are those of a draft model too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// Requests that take part in steps.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Pages that sequences use, and pages that there is memory for now.
    pub pages: [u32; 2],
    /// Pages on the host.
    pub host_pages: usize,
    /// Bytes on the GPU, the weights included.
    pub gpu_bytes: u64,
}
