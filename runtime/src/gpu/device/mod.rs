//! An opened device: its capabilities, its errors, and waiting for it.

mod errors;
mod features;
mod open;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_shaders::Capabilities;
use godwit_shaders::MatmulMethod;

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

    /// Which variant of each kernel decode and prefill use on this GPU, for people.
    pub fn variants(&self) -> Vec<(&'static str, String)> {
        let method = |tokens| MatmulMethod::of(self.caps(), tokens).name();
        let matmul = format!("decode: {}; prefill: {}", method(1), method(2));
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
        self.inner.device.poll(poll).map_err(|e| GpuError::Failed {
            cause: e.to_string(),
        })?;
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
        receiver.await.map_err(|_| GpuError::Failed {
            cause: "the device gave no answer".into(),
        })?;
        self.inner.submissions.done(submitted);
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        self.check()
    }

    /// What the driver reported and no scope caught: a lasting error every time, a refusal of
    /// memory once.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        Errors::take(&self.inner.errors).map_or(Ok(()), Err)
    }

    /// The first error that the driver reported, else this.
    pub(super) fn cause_or(&self, error: GpuError) -> GpuError {
        self.check().err().unwrap_or(error)
    }
}
