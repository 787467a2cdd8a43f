//! How a row's positions are divided into KV splits, and the bytes of their partials.

use crate::capabilities::Capabilities;
use crate::kernel::Step;
use crate::kv::AttentionShape;

use super::AttentionVariant;

/// The size of a split is a multiple of this many positions: `SPLIT_GRANULE` of the WGSL.
pub(super) const SPLIT_GRANULE: u32 = 256;

/// KV splits of a pass of `chunk` tokens: as many as keep the device busy, however few rows there
/// are, and as few as let their partials fit a binding.
pub fn splits(caps: &Capabilities, shape: AttentionShape, chunk: u32) -> u32 {
    let rows = chunk * shape.heads_per_kv_head();
    let variant = AttentionVariant::for_pass(caps, rows, chunk);
    let workgroups = rows.div_ceil(variant.rows_per_workgroup()) * shape.kv_heads;
    let wanted = caps.tuning.workgroups.div_ceil(workgroups);
    let fitting = (caps.max_binding / split_bytes(shape, chunk)).max(1);
    wanted.min(u32::try_from(fitting).unwrap_or(u32::MAX))
}

/// Bytes of the partials of `chunk` tokens.
pub fn partials_bytes(caps: &Capabilities, shape: AttentionShape, chunk: u32) -> u64 {
    u64::from(splits(caps, shape, chunk)) * split_bytes(shape, chunk)
}

/// Bytes of the partials of one split.
fn split_bytes(shape: AttentionShape, chunk: u32) -> u64 {
    4 * u64::from(chunk) * u64::from(shape.heads) * u64::from(shape.head_dim + 2)
}

/// Splits that write their partials: `splits_in_use` of the WGSL.
pub(crate) fn splits_in_use(step: Step, splits: u32) -> u32 {
    (step.position + step.count)
        .div_ceil(SPLIT_GRANULE)
        .clamp(1, splits)
}
