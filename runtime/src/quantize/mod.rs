//! Quantising whole models: which tensor gets which format, on all cores, streamed.

#[cfg(not(target_arch = "wasm32"))]
mod cache;
mod file;
mod imatrix;
mod quantized;
mod recipe;

#[cfg(not(target_arch = "wasm32"))]
pub use cache::WeightsCache;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use cache::{seal, weights_in};
pub use file::write_gguf;
pub use imatrix::{Importance, InputSquares};
pub use quantized::Quantized;
pub use recipe::{BadMix, BadOverride, Mix, Override, Recipe};
