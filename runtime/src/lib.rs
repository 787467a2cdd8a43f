//! Godwit: a portable runtime for Llama-architecture language models on any GPU.

pub mod format;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod sampling;
pub mod tokenizer;

pub use sampling::{Sampling, SamplingError};
