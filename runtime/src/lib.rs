//! Godwit: a portable runtime for Llama-architecture language models on any GPU.

pub mod chat;
pub mod checkpoint;
mod decode;
mod engine;
mod error;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod gpu;
mod growth;
#[cfg(test)]
mod interrupt;
#[cfg(not(target_arch = "wasm32"))]
pub mod io;
mod json;
#[cfg(not(target_arch = "wasm32"))]
mod kinds;
mod memory;
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
mod observe;
#[cfg(test)]
mod out_of_memory;
#[cfg(not(target_arch = "wasm32"))]
pub mod prefix_cache;
pub mod quantize;
mod record;
pub mod sampling;
pub mod saved;
mod session;
#[cfg(test)]
mod session_tests;
mod spill;
mod synthetic;
pub mod tokenizer;
mod transcript;

pub use chat::{ChatError, ChatTemplate, Message};
pub use engine::{Engine, EngineOptions, Spilling};
pub use error::{Error, FileError};
pub use godwit_shaders::capabilities::Tuning;
pub use godwit_shaders::kv::UnknownKvType;
pub use godwit_shaders::{Cost, KvFormat, KvType, Step, WeightFormat};
pub use gpu::{AdapterSummary, Backend, Gpu, GpuError, GpuOptions, HostWork, Launched, Rates};
pub use memory::{BadContextSize, ContextSize, MemoryUse, peak_process_memory, tokens};
pub use model::{Config, Examination, Model, Progress, RopeOverride, RopeStretch};
#[cfg(not(target_arch = "wasm32"))]
pub use prefix_cache::{PrefixCache, Reuse};
pub use sampling::{Recommended, Sampling, SamplingError};
pub use saved::{SavedError, SavedHeader};
pub use session::Session;
pub use spill::SpillError;
pub use synthetic::{BadSynthetic, Synthetic};
