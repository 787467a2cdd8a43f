//! The GPU: which there are, one opened, its memory, and plans run on it.

mod adapters;
mod device;
mod error;
mod execute;
mod memory;
mod pipelines;
mod profile;
mod rates;
mod readback;

pub use adapters::{AdapterSummary, Backend, GpuOptions, list};
pub use device::Gpu;
pub use error::GpuError;
pub use execute::Prepared;
pub use memory::GpuMemory;
pub use profile::{HostWork, Launched};
pub use rates::Rates;
pub use readback::Readback;
