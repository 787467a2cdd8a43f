//! A scheduler with a draft model: a smaller model, with a scheduler of its own, that guesses the
//! next tokens of replies.

use std::time::Duration;

use super::drafting::Drafting;
use super::options::{Budget, Load, SchedulerOptions};
use super::{Core, Scheduler};
use crate::engine::Engine;
use crate::error::Error;

pub(super) struct DraftModel {
    /// Runs the draft model. Its callers are the replies of the scheduler that this belongs to.
    scheduler: Box<Scheduler>,
    drafting: Drafting,
    /// Whether its newest step was submitted while one of the scheduler that this belongs to was in
    /// flight.
    is_second: bool,
}

impl Scheduler {
    /// [`Scheduler::new`], with a smaller model that guesses the next tokens of the requests that
    /// ask for it ([`Request::speculation`](super::Request::speculation)).
    ///
    /// [`SchedulerOptions::kv_memory`] and [`SchedulerOptions::host_memory`] are divided so that
    /// both models hold as many tokens. Where the draft model has no room for a sequence, because
    /// its context is shorter or there is no more memory, the reply goes on without its guesses.
    ///
    /// # Errors
    /// As [`Scheduler::new`], of either model, the models have other vocabularies, or there is a
    /// frame budget.
    pub async fn with_draft(
        engine: &Engine,
        draft: &Engine,
        options: &SchedulerOptions,
    ) -> Result<Self, Error> {
        let [own, other] = [engine, draft].map(|engine| engine.model().tokenizer());
        if let Some(id) = own.first_difference(other) {
            return Err(Error::DraftVocabulary { id });
        }
        if options.frame_budget.is_some() {
            return Err(Error::DraftInFrames);
        }
        let per_token = [engine, draft].map(Engine::kv_bytes_per_token);
        let all = per_token.iter().sum::<u64>();
        let [of_target, of_draft] = per_token.map(|bytes| {
            let share = |memory: u64| {
                let share = u128::from(memory) * u128::from(bytes) / u128::from(all.max(1));
                u64::try_from(share).unwrap_or(u64::MAX)
            };
            options
                .clone()
                .kv_memory(options.kv_memory.map(share))
                .host_memory(share(options.host_memory))
        });
        // Its guesses change no reply, and its requests are as many as ask for them.
        let of_draft = of_draft.max_waiting(usize::MAX).deterministic(false);
        let mut scheduler = Self::new(engine, &of_target).await?;
        let weights = [engine, draft].map(|engine| engine.memory().weights.max(1) as f64);
        scheduler.core.draft_cost = Some(weights[1] / weights[0]);
        scheduler.draft = Some(DraftModel {
            scheduler: Box::new(Self::new(draft, &of_draft).await?),
            drafting: Drafting::default(),
            is_second: false,
        });
        Ok(scheduler)
    }

    /// Gives guesses that have been made to the replies, asks for further ones, and submits a step
    /// of the draft model. Returns what is left of the budget. Where the draft model's device
    /// fails, replies go on without it.
    pub(super) async fn step_draft(&mut self, budget: Budget) -> Result<Budget, Error> {
        if self.draft.is_none() {
            return Ok(budget);
        }
        self.recover()?;
        self.collect().await?;
        let Some(draft) = &mut self.draft else {
            return Ok(budget);
        };
        let stepped = draft
            .step(&mut self.core, budget, !self.in_flight.is_empty())
            .await;
        Ok(stepped.unwrap_or_else(|error| {
            self.give_up_draft(&error);
            budget
        }))
    }

    /// Whether the draft model's step is in flight, and was submitted before those of this
    /// scheduler.
    pub(super) fn waits_for_draft(&self) -> bool {
        let is_idle = self.in_flight.is_empty();
        self.draft.as_ref().is_some_and(|draft| {
            !draft.scheduler.in_flight.is_empty() && (is_idle || !draft.is_second)
        })
    }

    /// Waits for the draft model's step.
    pub(super) async fn wait_for_draft(&mut self) {
        if let Some(draft) = &mut self.draft
            && let Err(error) = draft.scheduler.wait_for_steps().await
        {
            self.give_up_draft(&error);
        }
    }

    /// Ends what the draft model does for requests that have ended and sequences that are closed.
    pub(super) fn release_draft(&mut self) {
        if let Some(draft) = &mut self.draft {
            let Scheduler { core, .. } = &mut *draft.scheduler;
            draft.drafting.release(&self.core, core);
        }
    }

    fn give_up_draft(&mut self, error: &Error) {
        tracing::warn!("the draft model failed; replies go on without it: {error}");
        self.draft = None;
        Drafting::give_up(&mut self.core);
    }

    /// A scheduler's load, with that of its draft model.
    pub(super) fn with_draft_load(&self, load: Load) -> Load {
        let Some(draft) = &self.draft else {
            return load;
        };
        let of_draft = draft.scheduler.load();
        Load {
            pages: [0, 1].map(|number| load.pages[number] + of_draft.pages[number]),
            host_pages: load.host_pages + of_draft.host_pages,
            gpu_bytes: load.gpu_bytes + of_draft.gpu_bytes,
            ..load
        }
    }
}

impl DraftModel {
    async fn step(
        &mut self,
        target: &mut Core,
        budget: Budget,
        target_is_in_flight: bool,
    ) -> Result<Budget, Error> {
        let Self {
            scheduler,
            drafting,
            is_second,
        } = self;
        *is_second &= target_is_in_flight;
        scheduler.recover()?;
        scheduler.collect().await?;
        drafting.take(target, &mut scheduler.core);
        drafting.ask(target, &mut scheduler.core);
        if !scheduler.has_work() {
            return Ok(budget);
        }
        let was_in_flight = !scheduler.in_flight.is_empty();
        let attended = scheduler.core.longest_prompt() as u32;
        let half = budget.gpu.map(|time| time / 2);
        let report = scheduler.submit_step(budget.gpu(half)).await?;
        if !was_in_flight {
            *is_second = target_is_in_flight;
        }
        // Some end where they are planned: they only read.
        drafting.take(target, &mut scheduler.core);
        let tokens = report.prompt_tokens as u32;
        let seconds = (tokens > 0).then(|| scheduler.device.prompt_seconds(tokens, attended));
        let taken = seconds.flatten().map_or(Duration::ZERO, |seconds| {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
        });
        Ok(budget.gpu(budget.gpu.map(|time| time.saturating_sub(taken))))
    }
}
