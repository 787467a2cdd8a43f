//! Godwit's kernels: WGSL, the plan that strings them together, and a naive reference for each. No GPU types.
//!
//! [`KERNELS`] is the one table that pipelines, validation, tests and benchmarks are driven from.

pub mod add_bias;
pub mod adjust;
pub mod argmax;
pub mod attend;
pub mod attend_merge;
pub mod attend_recent;
pub mod caps;
pub mod column_squares;
pub mod compose;
pub mod embed;
pub mod fma_rate;
pub mod format;
pub mod kernel;
pub mod kv;
pub mod matmul;
pub mod plan;
pub mod read_rate;
pub mod rms_norm;
pub mod rope_append;
pub mod rope_attend;
pub mod sample;
pub mod swiglu;
pub mod testing;
pub mod weights;

pub use caps::Caps;
pub use compose::{Dialect, compose};
pub use format::Format;
pub use kernel::{Access, Case, Contents, Kernel, Scene, Step, Variant, Work};
pub use kv::{Heads, KvFormat, KvType, Recent, Segment};
pub use plan::{BufferRef, Buffers, Dispatch, Plan, Upload};
pub use weights::{Matrix, Shard};

/// Every kernel.
pub static KERNELS: [&Kernel; 16] = [
    &embed::EMBED,
    &rms_norm::RMS_NORM,
    &matmul::MATMUL,
    &add_bias::ADD_BIAS,
    &swiglu::SWIGLU,
    &rope_append::ROPE_APPEND,
    &rope_attend::ROPE_ATTEND,
    &attend::ATTEND,
    &attend_recent::ATTEND_RECENT,
    &attend_merge::ATTEND_MERGE,
    &adjust::ADJUST,
    &argmax::ARGMAX,
    &sample::SAMPLE,
    &column_squares::COLUMN_SQUARES,
    &read_rate::READ_RATE,
    &fma_rate::FMA_RATE,
];
