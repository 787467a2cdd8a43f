//! The GPU: which there are, one opened, its memory, and plans run on it.

mod adapters;
mod allocate;
mod device;
mod error;
mod execute;
mod hints;
mod memory;
mod pace;
mod pipelines;
mod probe;
mod profile;
mod rates;
#[cfg(not(target_arch = "wasm32"))]
mod tune;
mod upload;

pub use adapters::{AdapterSummary, Backend, GpuOptions, list};
pub use device::Gpu;
pub use error::GpuError;
pub use execute::Prepared;
pub use memory::{GpuMemory, Readback};
pub use pace::{IN_FLIGHT_BUDGET, SUBMIT_BUDGET};
pub use profile::{HostWork, Launched};
pub use rates::Rates;
