//! An opened device: its capabilities, its errors, and waiting for it.

mod errors;
mod features;
mod open;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use godwit_shaders::Capabilities;
use godwit_shaders::{MatmulClass, MatmulMethod};

use super::GpuError;
use super::adapters::AdapterSummary;
use super::allocate::Budget;
use super::memory::Staging;
use super::pipelines::Pipelines;
use super::profile::Profiler;
use super::submission_scheduler::SubmissionScheduler;
use super::upload::Uploads;
use errors::Errors;

/// An opened GPU. Cheap to clone; all clones are the same device.
#[derive(Clone)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub pipelines: Pipelines,
    pub staging: Staging,
    pub uploads: Uploads,
    pub profiler: Profiler,
    pub submissions: SubmissionScheduler,
    summary: AdapterSummary,
    pub caps: Capabilities,
    pub budget: Budget,
    #[cfg(test)]
    pub refusal: super::allocate::Refusal,
    errors: Arc<Mutex<Errors>>,
    in_flight_budget: Duration,
    /// Why better adapters were not opened instead.
    passed_over: Vec<GpuError>,
    /// Another adapter may take this one's place.
    is_replaceable: bool,
    /// A kernel that a test has refused.
    #[cfg(test)]
    pub refused_kernel: Mutex<Option<&'static str>>,
}

impl Gpu {
    /// The opened adapter.
    pub fn summary(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// Its capabilities.
    pub fn caps(&self) -> &Capabilities {
        &self.inner.caps
    }

    /// Bytes of GPU memory in use.
    pub fn memory_used(&self) -> u64 {
        self.inner.budget.used()
    }

    /// Bytes of GPU memory that may be used at most, where that was said.
    pub fn memory_budget(&self) -> Option<u64> {
        self.inner.budget.most()
    }

    /// The time budget of all decode steps in flight.
    pub(crate) fn in_flight_budget(&self) -> Duration {
        self.inner.in_flight_budget
    }

    /// The expected time of what was submitted, and is not completed as far as the host knows.
    pub(crate) fn seconds_in_flight(&self) -> f64 {
        self.inner.submissions.seconds_in_flight()
    }

    /// Which variant of each kernel decode and prefill use on this GPU, for people.
    pub fn variants(&self) -> Vec<(&'static str, String)> {
        let method = |class| MatmulMethod::of_class(self.caps(), class).name();
        let decode = method(MatmulClass::Gemv);
        let prefill = method(MatmulClass::Gemm);
        let matmul = match self.caps().tuning.few_rows_up_to {
            1 => format!("decode: {decode}; prefill: {prefill}"),
            most => {
                let few = method(MatmulClass::FewRows);
                format!("decode: {decode}; 2 to {most} tokens: {few}; prefill: {prefill}")
            }
        };
        vec![
            ("matmul", matmul),
            (
                "attention",
                godwit_shaders::kernels::attention::variants(self.caps()),
            ),
        ]
    }

    /// The wgpu device, for those who draw with it too.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Lets callbacks of finished work run. Natively that means waiting for all submitted work; a
    /// browser calls them itself.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        let polled = self.inner.device.poll(poll);
        polled.map_err(|error| self.failed(error))?;
        self.check()
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(&self) -> Result<(), GpuError> {
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.flush();
        let submitted = self.inner.submissions.submitted();
        self.inner.queue.on_submitted_work_done(move || {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(());
        });
        self.wait(None)?;
        let done = receiver.await;
        done.map_err(|_| self.failed("the device gave no answer"))?;
        self.inner.submissions.done(submitted);
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        self.check()
    }

    /// What the driver reported and no scope caught: a lasting error every time, a refusal of
    /// memory once.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let Some(first) = Errors::take(&self.inner.errors) else {
            return Ok(());
        };
        Err(self.lost().unwrap_or(first))
    }

    /// The error of an operation that failed for this cause: what the driver reported before
    /// explains it.
    pub(super) fn failed(&self, cause: impl ToString) -> GpuError {
        let cause = cause.to_string();
        self.lost()
            .or_else(|| Errors::take(&self.inner.errors))
            .unwrap_or(GpuError::Failed { cause })
    }

    /// The loss of the device, if it is lost. Where a program destroyed it, wgpu says so only to a
    /// poll when no work is left, which is why this waits for work that is in flight.
    pub(super) fn lost(&self) -> Option<GpuError> {
        // An error here would be of the same cause.
        let _ = self.inner.device.poll(wgpu::PollType::wait_indefinitely());
        self.known_loss()
    }

    /// The loss of the device, if wgpu has said so.
    pub(super) fn known_loss(&self) -> Option<GpuError> {
        let errors = self.inner.errors.lock();
        let lasting = &errors.unwrap_or_else(PoisonError::into_inner).lasting;
        lasting
            .clone()
            .filter(|error| matches!(error, GpuError::Lost { .. }))
    }
}
