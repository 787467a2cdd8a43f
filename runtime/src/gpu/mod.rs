//! The GPU: which there are, one opened, its memory, and plans run on it.

mod adapters;
mod bandwidth;
mod device;
mod error;
mod execute;
mod memory;
mod pipelines;

pub use adapters::{AdapterSummary, Backend, GpuOptions, list};
pub use device::Gpu;
pub use error::GpuError;
pub use execute::Prepared;
pub use memory::{GpuMemory, Readback};
