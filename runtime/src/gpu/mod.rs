//! The GPU: which there are, one opened, its memory, and plans run on it. Files are unknown here.

mod adapters;
mod allocate;
mod buffers;
mod device;
mod error;
mod execute;
mod hints;
mod memory;
mod pipelines;
mod probe;
mod profile;
mod rates;
mod slices;
mod submission_scheduler;
#[cfg(not(target_arch = "wasm32"))]
mod tune;
mod upload;

pub use adapters::{AdapterSummary, Backend, GpuOptions, list};
pub(crate) use buffers::DeviceBuffers;
pub use device::{Gpu, Wanted};
pub use error::GpuError;
pub use execute::Prepared;
pub use memory::{GpuMemory, Readback};
pub use profile::{DispatchTime, HostWork};
pub use rates::Rates;
pub use slices::SliceTime;
pub(crate) use slices::Slices;
pub use submission_scheduler::{IN_FLIGHT_BUDGET, SUBMIT_BUDGET};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use tune::candidates;
