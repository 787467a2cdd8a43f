//! Godwit's kernels: WGSL, the plan that strings them together, and a naive reference for each. No GPU types.

pub mod format;

pub use format::Format;
