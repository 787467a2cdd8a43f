//! Many sequences at once: one loop for a server's conversations, a game's characters, a page's
//! branches.
//!
//! A [`Scheduler`] computes a few tokens of each sequence in a step, so that the weights are read
//! once for all of them. Keys and values lie in pages that sequences share where they begin with
//! the same tokens. `core` decides, `batch` makes rows and work items of what was decided, `device`
//! runs them.

mod admit;
mod ahead;
mod append;
mod batch;
mod budget;
mod check;
mod choose;
mod core;
mod device;
mod draft;
mod draft_model;
mod drafting;
mod frames;
mod host;
mod in_flight;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod options;
mod plan;
mod pool;
mod request;
mod sequence;
mod size;
mod snapshot;
#[cfg(test)]
mod tests;
mod truncate;
mod warm_up;

use std::collections::VecDeque;

use godwit_shaders::PAGE;

use self::ahead::MOST_STEPS_IN_FLIGHT;
use self::core::{Core, Limits};
use crate::engine::{Engine, kv_bytes};
use crate::error::Error;
use crate::speculation::Speculation;
use device::Device;
use draft_model::DraftModel;
use frames::{DISPATCH_SHARE, Frames, PROMPT_TOKENS};
use in_flight::InFlight;

pub use crate::gpu::SliceTime;
pub use options::{Budget, Load, Mode, SchedulerOptions, StepReport};
pub use request::{Event, LogProbs, Request, RequestId, Usage};
pub use sequence::{SequenceId, SequenceOptions};
pub(crate) use size::scratch_size;

/// The most rows of a decode pass.
const MOST_ROWS: u32 = 64;

/// Many sequences over one copy of the weights.
///
/// One owner drives it: [`Scheduler::step`] submits work and does not wait for the GPU,
/// [`Scheduler::next_event`] gives what has happened, [`Scheduler::wait`] is for owners that have
/// nothing else to do.
///
/// ```no_run
/// # async fn serve(engine: godwit::Engine, prompt: Vec<u32>) -> Result<(), godwit::Error> {
/// use godwit::scheduler::{Budget, Event, Request, Scheduler, SchedulerOptions, SequenceOptions};
///
/// let mut scheduler = Scheduler::new(&engine, &SchedulerOptions::default()).await?;
/// let chat = scheduler.open(&SequenceOptions::default());
/// scheduler.submit(chat, Request::new(prompt).max_tokens(100))?;
/// while scheduler.has_work() {
///     scheduler.step(Budget::default()).await?;
///     scheduler.wait().await?;
///     while let Some(event) = scheduler.next_event() {
///         if let Event::Piece { piece, .. } = event {
///             print!("{}", piece.text);
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Scheduler {
    core: Core,
    device: Device,
    /// Steps in flight, the oldest first: their passes that the host has not heard of.
    in_flight: VecDeque<VecDeque<InFlight>>,
    /// Whether another step may find something to compute before the host hears of tokens in
    /// flight.
    may_submit: bool,
    /// Whether a step is being submitted: it stays so where its future is dropped.
    is_running: bool,
    draft: Option<DraftModel>,
    frames: Frames,
}

impl Scheduler {
    /// A scheduler without sequences.
    ///
    /// # Errors
    /// The GPU has no memory for the activations, `kv_memory` is less than a page takes, or the KV
    /// cache has a side of 4 bits: its f16 tail belongs to one sequence.
    pub async fn new(engine: &Engine, options: &SchedulerOptions) -> Result<Self, Error> {
        let config = engine.model().config();
        if engine.kv_format().has_f16_tail() {
            return Err(Error::SharedKvType {
                kv: engine.kv_format(),
            });
        }
        let page_bytes = u64::from(PAGE) * kv_bytes(config, engine.kv_format());
        let context = engine.context();
        let pages = match options.kv_memory {
            Some(bytes) => u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX),
            None => context.div_ceil(PAGE),
        };
        let pages = pages.min(u32::MAX / PAGE);
        if pages == 0 {
            return Err(Error::KvMemory {
                bytes: options.kv_memory.unwrap_or(0),
                page: page_bytes,
            });
        }
        let context = context.min(pages.saturating_mul(PAGE));
        let running = options.max_running.clamp(1, MOST_ROWS);
        let chunk = engine.prefill_chunk();
        let usual = match options.frame_budget {
            Some(_) => PROMPT_TOKENS,
            None => chunk,
        };
        let prompt_tokens = options.prompt_tokens.unwrap_or(usual).clamp(1, chunk);
        let caps = engine.gpu().caps();
        let mut size = scratch_size(config, caps, running, prompt_tokens, chunk, context);
        let host_memory = match options.frame_budget {
            Some(_) => {
                // Nothing is guessed.
                size.outputs = size.outputs.min(running);
                size.chunk = prompt_tokens.max(size.outputs);
                0
            }
            None => options.host_memory,
        };
        let most = MOST_STEPS_IN_FLIGHT as u32;
        let steps_in_flight = options
            .steps_in_flight
            .unwrap_or(caps.tuning.steps_in_flight);
        // How many rows share a step depends on time where steps are cut into slices.
        let is_row_by_row = options.deterministic || options.frame_budget.is_some();
        let mut device = Device::new(engine, pages, size, is_row_by_row).await?;
        device.has_fixed_passes = options.frame_budget.is_some();
        let seconds = options.frame_budget.map(|budget| budget.as_secs_f64());
        device.executor.most_dispatch = seconds.map(|budget| (DISPATCH_SHARE * budget).max(1e-4));
        let limits = Limits {
            context: context as usize,
            pages,
            host_pages: (host_memory / page_bytes) as usize,
            running: running.min(size.outputs) as usize,
            waiting: options.max_waiting,
            prompt_tokens: prompt_tokens as usize,
            attended: options
                .frame_budget
                .map(|_| frames::attended_by_pass(engine)),
            decode_rows: size.outputs as usize,
            steps_in_flight: steps_in_flight.clamp(1, most) as usize,
            is_cpu: caps.cpu,
            deterministic: options.deterministic,
        };
        Ok(Self {
            core: Core::new(engine.model().clone(), limits),
            device,
            in_flight: VecDeque::new(),
            may_submit: true,
            is_running: false,
            draft: None,
            frames: Frames::new(match options.frame_budget {
                Some(gpu) => Mode::Frames { gpu },
                None => Mode::Free,
            }),
        })
    }

    /// A new sequence without tokens.
    pub fn open(&mut self, options: &SequenceOptions) -> SequenceId {
        self.core.open(options)
    }

    /// A new sequence that begins with the first `position` tokens of another, which goes on as it
    /// was. Whole pages are shared; at most one page is copied.
    ///
    /// # Errors
    /// There is no such sequence, or it has fewer tokens.
    pub fn fork(&mut self, sequence: SequenceId, position: usize) -> Result<SequenceId, Error> {
        self.frames.pin();
        self.core.fork(sequence, position)
    }

    /// The tokens of a sequence: prompts and replies so far, the last token of a reply included.
    ///
    /// # Errors
    /// There is no such sequence.
    pub fn tokens(&self, sequence: SequenceId) -> Result<Vec<u32>, Error> {
        let sequence = self.core.sequence(sequence)?;
        Ok([&sequence.tokens[..], &sequence.pending].concat())
    }

    /// Appends a prompt to a sequence, and has the reply to it generated. It starts when earlier
    /// requests of the sequence have ended and there is room for it.
    ///
    /// # Errors
    /// There is no such sequence; a token does not exist; a sampling parameter is out of range; the
    /// prompt does not fit the context; too many requests wait. Then nothing has changed.
    pub fn submit(&mut self, sequence: SequenceId, request: Request) -> Result<RequestId, Error> {
        self.may_submit = true;
        let request = match self.device.has_fixed_passes {
            true => request.speculation(Speculation::Off),
            false => request,
        };
        self.core.submit(sequence, request)
    }

    /// Ends a request where it is. Its sequence keeps the tokens so far. Nothing happens where the
    /// request has ended.
    pub fn cancel(&mut self, request: RequestId) {
        self.may_submit = true;
        self.core.cancel(request);
        self.drop_ended_passes();
        self.release_draft();
    }

    /// Ends a sequence and its requests. What it has computed can still be found as a prefix, until
    /// the memory is needed.
    ///
    /// # Errors
    /// There is no such sequence.
    pub fn close(&mut self, sequence: SequenceId) -> Result<(), Error> {
        self.may_submit = true;
        self.core.close(sequence)?;
        self.drop_ended_passes();
        self.release_draft();
        Ok(())
    }

    /// Submits a step: one token of each running reply, then parts of prompts. Does nothing where
    /// as many steps are in flight as may be ([`SchedulerOptions::steps_in_flight`]). Where one
    /// step is in flight and another may be, submits what does not depend on tokens that the host
    /// does not know yet, which may be nothing. Waits only for pages that have to leave the GPU or
    /// come back.
    ///
    /// In [`Mode::Frames`] it submits a slice of a step, where the one before is done, and never
    /// waits.
    ///
    /// # Errors
    /// The device is lost. A lack of memory is an event of the requests that took part.
    pub async fn step(&mut self, budget: Budget) -> Result<StepReport, Error> {
        let budget = self.step_draft(budget).await?;
        self.submit_step(budget).await
    }

    /// [`Scheduler::step`], without the draft model.
    async fn submit_step(&mut self, budget: Budget) -> Result<StepReport, Error> {
        self.recover()?;
        if let Some(time) = self.slice_budget(budget) {
            return self.step_frame(time).await;
        }
        self.collect().await?;
        if self.frames.mode == Mode::Paused {
            return Ok(StepReport {
                is_waiting: true,
                ..StepReport::default()
            });
        }
        self.drain().await?;
        if self.in_flight.len() >= self.most_in_flight() {
            return Ok(StepReport {
                is_waiting: true,
                ..StepReport::default()
            });
        }
        self.grow().await?;
        let prompt_tokens = self.prompt_tokens(budget);
        let plan = self.core.plan(prompt_tokens);
        let report = StepReport {
            decoded: plan.decode.len(),
            prompt_tokens: plan.prompt.iter().map(|chunk| chunk.tokens.len()).sum(),
            ..StepReport::default()
        };
        self.may_submit = !plan.is_empty();
        self.is_running = true;
        let ran = self.run(&plan).await;
        self.is_running = false;
        if let Err(error) = ran {
            self.start_over(error)?;
        }
        #[cfg(debug_assertions)]
        if let Err(wrong) = self.core.check() {
            unreachable!("after a step: {wrong}");
        }
        Ok(report)
    }

    /// Where the future of a step was dropped in its middle, nobody knows what was done.
    fn recover(&mut self) -> Result<(), Error> {
        self.core.release_loading();
        match std::mem::take(&mut self.is_running) {
            true => self.start_over(Error::Stopped),
            false => Ok(()),
        }
    }

    /// Something of a step was not done: requests that took part in it fail, and all sequences are
    /// computed again. An error that others will meet, too, is returned.
    fn start_over(&mut self, error: Error) -> Result<(), Error> {
        self.core.start_over(&error);
        self.device.forget_host_pages();
        self.frames.clear();
        self.in_flight.clear();
        match error.is_out_of_memory() || matches!(error, Error::Stopped | Error::Fragmented) {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// What happened since it was asked last; none where there is nothing new.
    pub fn next_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Whether there are requests that have not ended.
    pub fn has_work(&self) -> bool {
        !self.core.requests.is_empty()
    }

    /// What is in use.
    pub fn load(&self) -> Load {
        let running = self.core.running().count();
        self.with_draft_load(Load {
            running,
            waiting: self.core.requests.len() - running,
            pages: [self.core.pages.in_use(), self.core.pages.len()],
            host_pages: self.core.on_host,
            gpu_bytes: self.device.bytes(),
        })
    }

    /// Allocates pages for all that waits, as far as there is memory.
    async fn grow(&mut self) -> Result<(), Error> {
        self.grow_to(self.core.wanted_pages()).await
    }

    async fn grow_to(&mut self, wanted: u32) -> Result<(), Error> {
        if wanted > self.core.pages.len() {
            match self.device.grow(wanted).await {
                Err(error) if error.is_out_of_memory() => {
                    tracing::debug!("the pool of pages stays as it is: {error}");
                    self.core.limits.pages = self.device.pages();
                    if let Error::Gpu(error) = error {
                        self.core.refused = Some(error);
                    }
                }
                other => drop(other?),
            }
            let pages = self.device.pages().min(self.core.limits.pages);
            self.core.pages.grow_to(pages);
        }
        Ok(())
    }

    async fn run(&mut self, plan: &plan::StepPlan) -> Result<(), Error> {
        let mut passes = VecDeque::new();
        for pass in self.queue_passes(plan).await? {
            passes.push_back(self.device.run(pass).await?);
        }
        if !passes.is_empty() {
            self.in_flight.push_back(passes);
        }
        Ok(())
    }
}
