//! What a device can do, as far as kernels care. Resolved once, when the device is opened.

use crate::matmul::Method;

/// Features and limits that decide which variants run and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Subgroup operations.
    pub subgroups: bool,
    /// They are of 32 invocations, neighbours in their workgroup, no more and no fewer.
    pub subgroups32: bool,
    /// Arithmetic in halves.
    pub halves: bool,
    /// Matrix units: products of 16 x 16 halves with sums in f32, by subgroups of 32, and [`MATRIX_WORKGROUP`] bytes of
    /// workgroup memory.
    pub matrices: bool,
    /// Subgroups of eight and more, and 64-bit integers: what kernels for CPUs use.
    pub spread: bool,
    /// Dot products of four bytes are an instruction.
    pub dots: bool,
    /// Largest storage buffer binding, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Whether the device is a CPU: few wide cores, no latency to hide.
    pub cpu: bool,
    /// How work is cut up. Any value gives the same answers.
    pub tuning: Tuning,
}

/// How work is cut up for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Tokens of a prefill pass.
    pub pass_tokens: u32,
    /// Workgroups that keep the device busy: attention shares positions out until there are as many.
    pub workgroups: u32,
    /// Decode steps that are submitted before the host has heard of the first one's token, at most.
    pub steps_in_flight: u32,
    /// How products with one token are computed. None: by the built-in table.
    pub one: Option<Method>,
    /// How products with many tokens are computed. None: by the built-in table.
    pub many: Option<Method>,
}

/// What suits GPUs.
pub const GPU: Tuning = Tuning { pass_tokens: 512, workgroups: 128, steps_in_flight: 8, one: None, many: None };

/// What suits CPUs: a workgroup keeps a core busy, and between passes is the only time to stop.
pub const CPU: Tuning = Tuning { pass_tokens: 64, workgroups: 1, steps_in_flight: 1, one: None, many: None };

/// The limits every WebGPU device has.
pub const WEBGPU: Caps = Caps {
    subgroups: false,
    subgroups32: false,
    halves: false,
    matrices: false,
    spread: false,
    dots: false,
    max_binding: 128 << 20,
    max_buffer: 256 << 20,
    max_workgroups: 65_535,
    cpu: false,
    tuning: GPU,
};

/// Bytes of workgroup memory that kernels for matrix units take at most.
pub const MATRIX_WORKGROUP: u32 = 48 << 10;

/// Bindings begin at multiples of this many bytes in every buffer.
pub const BINDING_ALIGNMENT: u64 = 256;
