//! Steps in slices, one a frame: for programs that draw with the same GPU.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::{Cost, PAGE};

use super::Scheduler;
use super::core::Core;
use super::device::QueuedPass;
use super::options::{Budget, Mode, StepReport};
use super::request::RequestId;
use super::sequence::{Place, SequenceId};
use crate::engine::Engine;
use crate::error::Error;
use crate::gpu::Slices;

/// Tokens of prompts in a pass, where nothing else is asked for.
pub(super) const PROMPT_TOKENS: u32 = 32;

/// What a dispatch may be expected to take, as a share of the budget.
pub(super) const DISPATCH_SHARE: f64 = 1.0 / 3.0;

/// Seconds that the attention of a prompt's pass in one layer may be expected to take, on a slow
/// device. It does not depend on the budget, so that passes don't.
const ATTENTION: f64 = 4e-3;

/// Positions that the tokens of a prompt in a pass may attend to, all together.
pub(super) fn attended_by_pass(engine: &Engine) -> usize {
    let config = engine.model().config();
    // A score and a value take a multiply-add each.
    let flops = (4 * u64::from(config.heads * config.head_dim)) << 16;
    let seconds = engine.gpu().nominal_seconds(Cost {
        flops,
        ..Cost::default()
    });
    (ATTENTION / seconds * f64::from(1 << 16)) as usize
}

pub(super) struct Frames {
    pub mode: Mode,
    slices: Slices,
    /// Passes that were planned and are not submitted, or only in part, in order.
    queue: VecDeque<QueuedPass>,
    /// Where each of their chunks belongs.
    origins: BTreeMap<RequestId, SequenceId>,
    /// Whether the queue has to be submitted whatever becomes of its requests: another sequence may
    /// need what it computes.
    is_pinned: bool,
}

impl Frames {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            slices: Slices::new(),
            queue: VecDeque::new(),
            origins: BTreeMap::new(),
            is_pinned: false,
        }
    }

    /// Forgets what was planned.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.origins.clear();
        self.is_pinned = false;
    }

    /// A sequence was forked: what is queued may be part of the fork.
    pub fn pin(&mut self) {
        self.is_pinned = !self.queue.is_empty();
    }

    /// Whether all that was planned is submitted.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Scheduler {
    /// When work is submitted.
    pub fn mode(&self) -> Mode {
        self.frames.mode
    }

    /// Says when work is submitted from now on. Replies are the same in all modes.
    pub fn set_mode(&mut self, mode: Mode) {
        self.frames.mode = mode;
        self.may_submit = true;
    }

    /// A step in the frames of a program that draws.
    pub(super) async fn step_frame(&mut self, time: Duration) -> Result<StepReport, Error> {
        let gpu = self.engine().gpu().clone();
        let mut report = StepReport::default();
        match self.frames.slices.is_free(&gpu) {
            Ok(true) => {}
            Ok(false) => {
                report.is_waiting = true;
                return Ok(report);
            }
            Err(error) => {
                self.start_over(error.into())?;
                return Ok(report);
            }
        }
        report.slice = self.frames.slices.take_time();
        self.collect().await?;
        self.frames.slices.begin(time);
        self.is_running = true;
        let filled = self.fill_slice(&mut report).await;
        self.is_running = false;
        self.frames.slices.end(&gpu);
        if let Err(error) = filled {
            self.start_over(error)?;
        }
        #[cfg(debug_assertions)]
        if let Err(wrong) = self.core.check() {
            unreachable!("after a slice: {wrong}");
        }
        Ok(report)
    }

    /// Submits parts of passes as long as the slice has room for them.
    async fn fill_slice(&mut self, report: &mut StepReport) -> Result<(), Error> {
        loop {
            if self.frames.queue.is_empty() && !self.plan_passes(report).await? {
                return Ok(());
            }
            if !self.run_part().await? {
                return Ok(());
            }
        }
    }

    /// Plans a step, and queues its passes. Returns whether there are any.
    async fn plan_passes(&mut self, report: &mut StepReport) -> Result<bool, Error> {
        if self.in_flight.len() >= self.core.limits.steps_in_flight {
            report.is_waiting = self.frames.slices.is_empty();
            return Ok(false);
        }
        self.grow().await?;
        let plan = self.core.plan(self.core.limits.prompt_tokens);
        report.decoded += plan.decode.len();
        let prompts = plan.prompt.iter().map(|chunk| chunk.tokens.len());
        report.prompt_tokens += prompts.sum::<usize>();
        self.may_submit = !plan.is_empty();
        let passes = self.queue_passes(&plan).await?;
        let requests = &self.core.requests;
        let all = passes.iter().flat_map(|pass| &pass.chunks);
        let origins = all.map(|chunk| {
            let ongoing = requests.get(&chunk.request);
            (chunk.request, ongoing.map(|ongoing| ongoing.sequence))
        });
        // What was planned for a request that ended with the plan has to be computed.
        let mut is_pinned = false;
        self.frames.origins = origins
            .filter_map(|(request, sequence)| {
                is_pinned |= sequence.is_none();
                Some((request, sequence?))
            })
            .collect();
        self.frames.is_pinned = is_pinned;
        self.frames.queue = passes.into();
        Ok(!self.frames.queue.is_empty())
    }

    /// Submits what fits of the first pass that is queued. Returns whether that was all of it.
    async fn run_part(&mut self) -> Result<bool, Error> {
        let Self { device, frames, .. } = self;
        let Some(pass) = frames.queue.front_mut() else {
            return Ok(false);
        };
        let Some(in_flight) = device.run_part(pass, &mut frames.slices).await? else {
            return Ok(false);
        };
        frames.queue.pop_front();
        self.in_flight.push_back(VecDeque::from([in_flight]));
        Ok(true)
    }

    /// Submits the rest of what was planned: pages are about to be read or written, or the mode has
    /// changed.
    pub(super) async fn drain(&mut self) -> Result<(), Error> {
        if self.frames.is_drained() {
            return Ok(());
        }
        self.is_running = true;
        let mut drained = Ok(true);
        while !self.frames.is_drained() && matches!(drained, Ok(true)) {
            self.frames.slices.begin_unlimited();
            drained = self.run_part().await;
        }
        self.is_running = false;
        match drained {
            Ok(_) => Ok(()),
            Err(error) => self.start_over(error),
        }
    }

    /// Waits until the slice that is outstanding is done.
    pub(super) async fn wait_for_slice(&mut self) -> Result<(), Error> {
        let gpu = self.engine().gpu().clone();
        self.frames.slices.wait(&gpu).await?;
        Ok(())
    }

    /// Drops what is queued where all of its requests have ended: their tokens are to be computed
    /// again when the sequences go on.
    pub(super) fn drop_ended_passes(&mut self) {
        let Self { core, frames, .. } = self;
        let goes_on = |id: &RequestId| core.requests.contains_key(id);
        if frames.is_pinned || frames.is_drained() || frames.origins.keys().any(goes_on) {
            return;
        }
        for pass in frames.queue.drain(..) {
            for chunk in &pass.chunks {
                let sequence = frames.origins.get(&chunk.request).copied();
                core.uncompute(sequence, chunk.position as usize, &chunk.table);
            }
        }
        frames.clear();
        #[cfg(debug_assertions)]
        if let Err(wrong) = core.check() {
            unreachable!("after a pass was dropped: {wrong}");
        }
    }

    /// Prepares all that frames need: memory for all pages, and the plans of all passes. From then
    /// on no pipeline is compiled and no buffer is made. It takes seconds; a program that draws
    /// calls it on another thread, before it hands the scheduler to the one that draws.
    ///
    /// # Errors
    /// There is no memory, a kernel does not compile, or the device fails.
    pub async fn warm_up(&mut self) -> Result<(), Error> {
        self.recover()?;
        self.drain().await?;
        let gpu = self.engine().gpu().clone();
        self.grow_to(self.core.limits.pages).await?;
        self.device.clear_free_pages(&self.core.pages).await?;
        let running = self.core.limits.running as u32;
        self.device.prepare_all(running).await?;
        self.frames.slices.prepare(&gpu).await?;
        self.device.reserve_staging().await?;
        Ok(gpu.finish().await?)
    }

    /// The time of the slice of this frame; none where whole steps are submitted.
    pub(super) fn slice_budget(&self, budget: Budget) -> Option<Duration> {
        match self.frames.mode {
            Mode::Frames { gpu } => Some(budget.gpu.unwrap_or(gpu)),
            Mode::Free | Mode::Paused => None,
        }
    }
}

impl Core {
    /// Tokens of a sequence from `position` on, which were planned, are not computed. Nobody may
    /// find the pages, of this table, that they were to be in.
    fn uncompute(&mut self, of: Option<SequenceId>, position: usize, table: &[u32]) {
        let page = PAGE as usize;
        for &never_written in table.iter().skip(position / page) {
            self.pages.forget(never_written);
        }
        let Some(sequence) = of.and_then(|id| self.sequences.get_mut(&id)) else {
            return;
        };
        if sequence.tokens.len() <= position {
            return;
        }
        let uncomputed = sequence.tokens.split_off(position);
        sequence.pending.splice(0..0, uncomputed);
        sequence.prefixes.truncate(position / page + 1);
        if sequence.decoded_from >= position {
            sequence.decoded_from = usize::MAX;
        }
        let unused: Vec<Place> = sequence.table.split_off(position.div_ceil(page));
        unused.into_iter().for_each(|place| self.release(place));
    }
}

impl Scheduler {
    /// Queues the passes of a step.
    pub(super) async fn queue_passes(
        &mut self,
        plan: &super::plan::StepPlan,
    ) -> Result<Vec<QueuedPass>, Error> {
        self.device.move_pages(&plan.memory).await?;
        let Self { core, device, .. } = self;
        let wanted = |request| core.wanted(request);
        let mut passes = device
            .queue(&plan.decode, RowClass::Decode, &wanted)
            .await?;
        let prompts = device.queue(&plan.prompt, RowClass::Prompt, &wanted);
        passes.extend(prompts.await?);
        Ok(passes)
    }
}
