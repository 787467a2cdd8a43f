//! An opened device: its capabilities, its errors, and waiting for it.

mod errors;
mod features;
mod open;
mod share;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot::{Canceled, Receiver};
use godwit_shaders::{Capabilities, Cost};
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

pub use share::Wanted;

/// How long a thread pauses before it asks again whether a callback of a shared device ran.
const PAUSE: Duration = Duration::from_micros(200);

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
    /// Whether the device is a host's: it is never waited for, never destroyed, and its handlers
    /// are the host's.
    pub is_shared: bool,
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

    /// The time that a dispatch of this cost takes on a slow device of its kind.
    pub(crate) fn nominal_seconds(&self, cost: Cost) -> f64 {
        self.inner.submissions.nominal(cost)
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

    /// Whether the device is a host's ([`Gpu::share`]).
    pub fn is_shared(&self) -> bool {
        self.inner.is_shared
    }

    /// Lets the callbacks of finished work run, those of others on the same device among them.
    /// Never waits. Hosts that poll their device anyway need not call it.
    pub fn poll(&self) {
        // An error is the next operation's to report.
        let _ = self.inner.device.poll(wgpu::PollType::Poll);
    }

    /// Ends the use of the device and frees what is on it, without waiting until all clones are
    /// dropped. Does nothing to a shared device, which is its host's to destroy.
    pub fn destroy(&self) {
        if !self.inner.is_shared {
            self.inner.device.destroy();
        }
    }

    /// Waits in wgpu: never on a shared device, where that would stop the host from presenting.
    fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), wgpu::PollError> {
        debug_assert!(!self.inner.is_shared, "a shared device is waited for");
        self.inner.profiler.count_wait();
        let poll = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        self.inner.device.poll(poll).map(drop)
    }

    /// Waits for what a callback of the device sends, once this submission or all of them are done.
    ///
    /// On a shared device only this thread waits: it asks again and again whether the callback ran,
    /// and the future can be polled by any executor meanwhile.
    pub(in crate::gpu) async fn arrival<T>(
        &self,
        submission: Option<wgpu::SubmissionIndex>,
        receiver: &mut Receiver<T>,
    ) -> Result<T, GpuError> {
        let sent = if self.inner.is_shared {
            let asked = std::future::poll_fn(|context| self.ask(receiver, context));
            asked.await?
        } else {
            self.wait(submission).map_err(|error| self.failed(error))?;
            self.check()?;
            receiver.await
        };
        sent.map_err(|_| self.failed("the device gave no answer"))
    }

    /// Asks once whether a callback of a shared device ran, and pauses where it did not.
    fn ask<T>(
        &self,
        receiver: &mut Receiver<T>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Result<T, Canceled>, GpuError>> {
        self.poll();
        if let Poll::Ready(sent) = Pin::new(receiver).poll(context) {
            return Poll::Ready(Ok(sent));
        }
        if let Some(lost) = self.known_loss() {
            return Poll::Ready(Err(lost));
        }
        // Callbacks run where somebody polls. In a browser that is the browser.
        if cfg!(not(target_arch = "wasm32")) {
            std::thread::sleep(PAUSE);
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(&self) -> Result<(), GpuError> {
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        let (sender, mut receiver) = futures_channel::oneshot::channel();
        self.flush();
        let submitted = self.inner.submissions.submitted();
        self.inner.queue.on_submitted_work_done(move || {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(());
        });
        self.arrival(None, &mut receiver).await?;
        self.inner.submissions.done(submitted);
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        self.check()
    }

    /// Notes an error of a call that nothing waits for.
    pub(super) fn note_error(&self, error: wgpu::Error) {
        Errors::note(&self.inner.errors, error);
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
    /// poll when no work is left, which is why this waits for work that is in flight. The loss of a
    /// shared device is known once its host has called [`Gpu::notify_lost`].
    pub(super) fn lost(&self) -> Option<GpuError> {
        if self.inner.is_shared {
            self.poll();
        } else {
            // An error here would be of the same cause.
            let _ = self.wait(None);
        }
        self.known_loss()
    }

    /// The loss of the device, if wgpu has said so.
    pub(crate) fn known_loss(&self) -> Option<GpuError> {
        let errors = self.inner.errors.lock();
        let lasting = &errors.unwrap_or_else(PoisonError::into_inner).lasting;
        lasting
            .clone()
            .filter(|error| matches!(error, GpuError::Lost { .. }))
    }
}
