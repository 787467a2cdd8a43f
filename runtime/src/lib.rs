//! Godwit runs Llama-architecture language models on any GPU: through Vulkan, Metal, DX12 and
//! browser WebGPU, with the same kernels.
//!
//! A [`Model`] is a file that was opened and checked, a [`Gpu`] an adapter, an [`Engine`] the
//! model's weights on it, a [`Session`] a sequence of tokens with its KV cache, and a
//! [`Generation`] a reply in the making:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use godwit::{
//!     Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Message, Model, unwatched,
//! };
//!
//! # async fn answer() -> Result<(), godwit::Error> {
//! let model = Model::open(Path::new("model.gguf"))?;
//! let gpu = Gpu::open(&GpuOptions::default()).await?;
//! let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut unwatched).await?;
//! let mut session = engine.session().await?;
//!
//! let question = [Message::user("What is the capital of France?")];
//! let prompt = model.chat()?.encode(model.tokenizer(), &question, true)?;
//! session.prefill(&prompt, &mut unwatched).await?;
//! let mut answer = session.generate(GenerateOptions::default().sampling(model.sampling()))?;
//! while let Some(piece) = answer.next().await? {
//!     print!("{}", piece.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **Async.** Natively each future does its work where it is polled, and is `Send`; any executor
//!   will do, `pollster` for one. In a browser they wait for the GPU.
//! - **Progress and cancellation.** Whatever takes long takes an [`OnProgress`], which hears how
//!   far it is, and may stop it; [`unwatched`] ignores it. A future that is dropped leaves its
//!   session usable, with the tokens computed so far.
//! - **Errors** name the file, the tensor or the limit, and what to do: [`Error`], [`errors`].
//! - **Access to the device.** [`Gpu::device`] and [`Gpu::queue`] are wgpu's; [`wgpu`] is the
//!   version that they are of. [`Gpu::share`] uses a program's own device, without waiting for it;
//!   [`scheduler::Mode::Frames`] computes within a budget of each frame.
//! - **Options** have a default and a setter for each field; fields may be added.
//!
//! The examples of this crate are whole programs: `hello`, `chat`, `cancel` (streaming from a
//! thread), `document` (a long text, read once and kept in a file), `archive` (a model out of the
//! program's own files).

mod chat;
mod checkpoint;
mod engine;
mod error;
pub mod errors;
mod executor;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod gguf;
mod gpu;
#[cfg(test)]
mod interrupt;
mod io;
mod json;
mod kv_cache;
pub mod low_level;
mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod prefix_cache;
mod progress;
pub mod quantize;
pub mod sampling;
pub mod scheduler;
mod session;
mod setters;
mod speculation;
pub mod tokenizer;

pub use godwit_shaders::{KvFormat, KvType, WeightFormat};
pub use {serde_json, wgpu};

pub use chat::{ChatTemplate, Message};
pub use engine::{Engine, EngineOptions, MemoryUse};
pub use error::Error;
pub use generation::{FinishReason, GenerateOptions, Generation, Piece};
pub use gpu::{AdapterSummary, Backend, Gpu, GpuError, GpuOptions, Wanted};
#[cfg(not(target_arch = "wasm32"))]
pub use io::Access;
pub use io::{Bytes, Identity, Input, Output, Reader, Region, Source, SourceCause, SourceError};
pub use kv_cache::{SnapshotHeader, Spilling};
pub use model::{Config, ContextSize, Model, RopeOverride, RopeScaling, RopeStretch};
#[cfg(not(target_arch = "wasm32"))]
pub use prefix_cache::PrefixCache;
pub use progress::{OnProgress, Progress, unwatched};
pub use sampling::{Recommended, Sampling};
pub use session::{Reuse, Session};
pub use speculation::{Speculated, Speculation, UnknownSpeculation};
pub use tokenizer::{Special, TokenStream, Tokenizer};
