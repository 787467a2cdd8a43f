//! The GPU: which there are, one opened, its memory, and plans run on it. Files are unknown here.

mod adapters;
mod allocate;
mod buffers;
mod device;
mod error;
mod execute;
mod hints;
mod memory;
mod submission_scheduler;
mod pipelines;
mod probe;
mod profile;
mod rates;
#[cfg(not(target_arch = "wasm32"))]
mod tune;
mod upload;

pub(crate) use buffers::DeviceBuffers;
pub use adapters::{AdapterSummary, Backend, GpuOptions, list};
pub use device::Gpu;
pub use error::GpuError;
pub use execute::Prepared;
pub use memory::{GpuMemory, Readback};
pub use submission_scheduler::{IN_FLIGHT_BUDGET, SUBMIT_BUDGET};
pub use profile::{HostWork, DispatchTime};
pub use rates::Rates;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use tune::candidates;
