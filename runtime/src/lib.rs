//! Godwit: a portable runtime for Llama-architecture language models on any GPU.

pub mod chat;
pub mod checkpoint;
mod engine;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
pub mod gguf;
pub mod gpu;
#[cfg(test)]
mod interrupt;
pub mod io;
mod json;
mod kv_cache;
pub mod model;
mod progress;
pub mod quantize;
pub mod sampling;
mod session;
mod setters;
pub mod tokenizer;

pub use chat::{ChatError, ChatTemplate, Message};
pub use engine::{Engine, EngineOptions, MemoryUse, peak_process_memory};
pub use error::Error;
pub use generation::{FinishReason, GenerateOptions, Generation, Piece};
pub use godwit_shaders::capabilities::Tuning;
pub use godwit_shaders::kv::UnknownKvType;
pub use godwit_shaders::{Cost, KvFormat, KvType, Step, WeightFormat};
pub use gpu::{AdapterSummary, Backend, DispatchTime, Gpu, GpuError, GpuOptions, HostWork, Rates};
pub use io::{Bytes, FileError, Source, SourceCause, SourceError, explained};
pub use kv_cache::{KvCacheError, SnapshotError, SnapshotHeader, SpillError, Spilling};
pub use model::{
    BadContextSize, BadSynthetic, Config, ContextSize, Examination, Model, RopeOverride,
    RopeStretch, Synthetic, tokens,
};
pub use progress::{OnProgress, Progress, unwatched};
pub use sampling::{Recommended, Sampling, SamplingError};
#[cfg(not(target_arch = "wasm32"))]
pub use session::prefix_cache::{self, PrefixCache};
pub use session::{Reuse, Session};
pub use tokenizer::{Special, TokenStream, Tokenizer};
pub use wgpu;
