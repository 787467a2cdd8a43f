//! Godwit: a portable runtime for Llama-architecture language models on any GPU.

pub mod sampling;
pub mod tokenizer;

pub use sampling::{Sampling, SamplingError};
