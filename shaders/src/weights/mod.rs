//! Weight formats: how model files store a block of weights, what it means, how the GPU reads it.
//!
//! The storage layouts are those of the GGUF format (ggml's `block_*` structures). [`formats`] is
//! the one table of formats, [`dequant`] gives their meaning on the CPU.

pub mod dequant;
mod finite;
pub mod formats;
mod matrix;
mod planes;
mod quantize;
mod quantize_k;
mod search;
#[cfg(feature = "testing")]
mod unpack;

pub use formats::WeightFormat;
pub use matrix::{Matrix, Shard, pack, pack_tile};
pub use planes::{GROUP, TILE};
pub use quantize::NoQuantizer;
#[cfg(feature = "testing")]
pub use unpack::unpack_row;
