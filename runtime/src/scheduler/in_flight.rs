//! Passes whose tokens are on their way to the host.

use std::collections::VecDeque;

use godwit_shaders::kernels::log_probs::{LogProb, MOST};

use super::Scheduler;
use super::options::Mode;
use super::request::{LogProbs, RequestId};
use crate::error::Error;
use crate::gpu::Readback;

/// The output rows of a request in a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputRows {
    pub request: RequestId,
    pub count: usize,
    /// As [`Request::log_probs`](super::Request::log_probs).
    pub log_probs: Option<u32>,
}

/// A pass whose tokens are on their way to the host.
pub(super) struct InFlight {
    pub rows: Vec<OutputRows>,
    chosen: Arriving,
    log_probs: Option<Arriving>,
}

/// Bytes on their way, or here. A future that waits for them may be dropped, and another one wait.
enum Arriving {
    Coming(Readback),
    Here(Vec<u8>),
}

impl Arriving {
    fn has_arrived(&mut self) -> bool {
        match self {
            Self::Coming(readback) => readback.has_arrived(),
            Self::Here(_) => true,
        }
    }

    async fn wait(&mut self) -> Result<&[u8], Error> {
        if let Self::Coming(readback) = self {
            let bytes = readback.finish().await?;
            *self = Self::Here(bytes);
        }
        match self {
            Self::Here(bytes) => Ok(bytes),
            Self::Coming(_) => Ok(&[]),
        }
    }
}

impl InFlight {
    pub fn new(rows: Vec<OutputRows>, chosen: Readback, log_probs: Option<Readback>) -> Self {
        Self {
            rows,
            chosen: Arriving::Coming(chosen),
            log_probs: log_probs.map(Arriving::Coming),
        }
    }

    /// Whether [`InFlight::wait`] would not wait.
    pub fn has_arrived(&mut self) -> bool {
        let log_probs = &mut self.log_probs;
        self.chosen.has_arrived() && log_probs.as_mut().is_none_or(Arriving::has_arrived)
    }

    /// Waits for the chosen tokens and the log-probabilities.
    ///
    /// # Errors
    /// The device failed.
    pub async fn wait(&mut self) -> Result<(&[u8], &[u8]), Error> {
        let chosen = self.chosen.wait().await?;
        let log_probs = match &mut self.log_probs {
            Some(log_probs) => log_probs.wait().await?,
            None => &[],
        };
        Ok((chosen, log_probs))
    }
}

impl Scheduler {
    /// Waits for the oldest step in flight, if there is one, and takes the tokens that it chose.
    /// Returns at once where [`Scheduler::step`] may submit another step before: then call that
    /// first. So a loop of `step` and `wait` keeps the GPU busy, and never spins. Where a draft
    /// model's step came first, waits for that one. In [`Mode::Frames`], waits for the slice that
    /// is outstanding.
    ///
    /// # Errors
    /// The device is lost.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if self.waits_for_draft() {
            self.wait_for_draft().await;
            return Ok(());
        }
        self.wait_for_steps().await
    }

    /// [`Scheduler::wait`], without the draft model.
    pub(super) async fn wait_for_steps(&mut self) -> Result<(), Error> {
        self.recover()?;
        if matches!(self.frames.mode, Mode::Frames { .. }) {
            self.wait_for_slice().await?;
            return self.collect().await;
        }
        let steps = self.in_flight.len();
        let has_room = steps < self.most_in_flight();
        if !(has_room && self.may_submit && self.core.may_plan()) {
            while steps > 0 && self.in_flight.len() == steps {
                self.take_pass().await?;
            }
        }
        self.collect().await
    }

    /// Steps that may be in flight now. One where a step takes long: the GPU then has enough to do,
    /// and what is new or cancelled would have to wait for two.
    pub(super) fn most_in_flight(&self) -> usize {
        let gpu = self.device.executor.engine.gpu();
        match 2.0 * gpu.seconds_in_flight() > gpu.in_flight_budget().as_secs_f64() {
            true => 1,
            false => self.core.limits.steps_in_flight,
        }
    }

    /// Waits for the oldest pass in flight, and takes the tokens that it chose.
    async fn take_pass(&mut self) -> Result<(), Error> {
        let Some(step) = self.in_flight.front_mut() else {
            return Ok(());
        };
        // A pass stays in flight until all of it is here: the future may be dropped while it waits.
        if let Some(pass) = step.front_mut() {
            let waited = pass.wait().await;
            let arrived = waited.map(|(chosen, log_probs)| (chosen.to_vec(), log_probs.to_vec()));
            match arrived {
                Ok((chosen, log_probs)) => {
                    let rows = std::mem::take(&mut pass.rows);
                    step.pop_front();
                    self.may_submit = true;
                    self.accept(&rows, &chosen, &log_probs);
                }
                Err(error) => return self.start_over(error),
            }
        }
        if self.in_flight.front().is_some_and(VecDeque::is_empty) {
            self.in_flight.pop_front();
        }
        Ok(())
    }

    /// Takes what has arrived, without waiting.
    pub(super) async fn collect(&mut self) -> Result<(), Error> {
        let has_arrived = |step: &mut VecDeque<InFlight>| {
            let pass = step.front_mut();
            pass.is_none_or(InFlight::has_arrived)
        };
        while self.in_flight.front_mut().is_some_and(has_arrived) {
            self.take_pass().await?;
        }
        Ok(())
    }

    fn accept(&mut self, rows: &[OutputRows], chosen: &[u8], log_probs: &[u8]) {
        let mut tokens: &[u32] = &bytemuck::pod_collect_to_vec::<_, u32>(chosen);
        let log_probs: Vec<LogProb> = bytemuck::pod_collect_to_vec(log_probs);
        let mut log_probs = log_probs.chunks_exact(1 + MOST as usize);
        for of in rows {
            let (own, others) = tokens.split_at(of.count.min(tokens.len()));
            tokens = others;
            let own = own.iter().map(|&token| {
                let row = log_probs.next().zip(of.log_probs);
                let log_probs = row.map(|(row, top)| LogProbs {
                    chosen: row[0].value,
                    top: row[1..=top as usize]
                        .iter()
                        .map(|one| (one.token, one.value))
                        .collect(),
                });
                (token, log_probs)
            });
            self.core.accept(of.request, own.collect());
        }
    }
}
