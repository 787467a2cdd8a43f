//! Godwit's kernels: WGSL, the plan that orders their dispatches, and a naive reference for each.
//! No GPU types.
//!
//! [`KERNELS`] is the one table that pipelines, validation, tests and benchmarks are driven from.

pub mod capabilities;
pub mod compose;
pub mod kernel;
pub mod kernels;
pub mod kv;
pub mod plan;
pub mod testing;
pub mod weights;

pub use capabilities::Capabilities;
pub use compose::{Dialect, compose};
pub use kernel::{Access, Case, Contents, Cost, DispatchFixture, Kernel, Step, Variant};
pub use kernels::KERNELS;
pub use kv::{AttentionShape, F16Tail, KvFormat, KvType, Segment};
pub use plan::{BufferRef, Buffers, Dispatch, Plan, Upload};
pub use weights::{Matrix, Shard, WeightFormat};
