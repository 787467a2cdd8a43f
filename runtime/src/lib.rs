//! Godwit: a portable runtime for Llama-architecture language models on any GPU.

pub mod cpu;
pub mod format;
pub mod gpu;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod sampling;
pub mod tokenizer;

pub use gpu::{AdapterSummary, Backend, Gpu, GpuError, GpuOptions};
pub use sampling::{Sampling, SamplingError};
