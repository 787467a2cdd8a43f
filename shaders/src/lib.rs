//! Godwit's kernels: WGSL, host wrappers that record dispatches, and the plan that orders them.
//! Contains no GPU types.
//!
//! [`KERNELS`] is the one table that drives pipelines, validation, tests and benchmarks.
//!
//! The feature `testing` adds a naive reference and test cases to each kernel. Programs that only
//! run models leave it off.

pub mod buffers;
pub mod capabilities;
pub mod compose;
pub mod kernel;
pub mod kernels;
pub mod kv;
pub mod plan;
pub mod random;
#[cfg(feature = "testing")]
pub mod testing;
pub mod weights;

pub use buffers::{BufferRef, Buffers};
pub use capabilities::{Capabilities, MatmulClass, MatmulMethod};
pub use compose::{Dialect, compose};
pub use kernel::{Access, Cost, Dispatch, Kernel, Step, Variant};
#[cfg(feature = "testing")]
pub use kernel::{Case, Contents, DispatchFixture};
pub use kernels::KERNELS;
pub use kv::{AttentionShape, BatchRow, F16Tail, KvFormat, KvType, PAGE, Segment, WorkItem};
pub use plan::{Plan, Upload};
pub use weights::{Matrix, Shard, WeightFormat};
