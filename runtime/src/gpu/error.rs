//! The errors of a device.

use godwit_shaders::capabilities::BadTuning;
use thiserror::Error;

/// A GPU that can't be opened, or that failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter at all, or none of those asked for.
    #[error("no GPU adapter found{asked}; {remedy}")]
    NoAdapter {
        /// The requested adapter, or empty.
        asked: String,
        /// Which there are; where there is none, how to get one on this system.
        remedy: String,
    },
    /// Adapters, but none of the name or the number that was asked for.
    #[error("No GPU matches {asked:?}. Available: {available}")]
    NoMatch {
        /// The requested adapter.
        asked: String,
        /// The adapters that exist, with their numbers.
        available: String,
    },
    /// The adapter opens, but what it computes is wrong, or it computes nothing.
    #[error("{adapter} can't be used: {cause}")]
    Unusable {
        /// The adapter.
        adapter: String,
        /// The result of the attempt.
        cause: String,
    },
    /// The adapter refused to become a device.
    #[error("{adapter} can't be opened: {cause}")]
    Device {
        /// The adapter.
        adapter: String,
        /// The driver's message.
        cause: String,
    },
    /// A limit below what every WebGPU device has.
    #[error("{adapter} is too small: {limit} is {has}, but {needs} is the least that works")]
    Limit {
        /// The adapter.
        adapter: String,
        /// The limit's name.
        limit: &'static str,
        /// The adapter's limit.
        has: u64,
        /// The required value.
        needs: u64,
    },
    /// A limit of a host's device below what every WebGPU device has.
    #[error(
        "the device of {adapter} can't be shared: its {limit} is {has}, but {needs} is the least \
         that works; add what Gpu::wanted gives to the descriptor that the device is created with"
    )]
    SharedLimit {
        /// The adapter.
        adapter: String,
        /// The limit's name.
        limit: &'static str,
        /// The device's limit.
        has: u64,
        /// The required value.
        needs: u64,
    },
    /// A tuning of the caller's that makes no sense.
    #[error(transparent)]
    Tuning(#[from] BadTuning),
    /// Bindings that are to be smaller than anything works with.
    #[error(
        "bindings of {value} bytes at most are asked for (max_binding), but {least} is the least \
         that works"
    )]
    MaxBinding {
        /// The requested value.
        value: u64,
        /// The least.
        least: u64,
    },
    /// Memory ran out.
    #[error(
        "the GPU has no memory left for {what}{}; try a smaller context, a smaller model, or \
         close what else uses the GPU",
        in_bytes(*bytes)
    )]
    OutOfMemory {
        /// The buffer, or what else was to be made.
        what: String,
        /// Its size; 0 where only the driver knows it.
        bytes: u64,
    },
    /// The driver refused memory to an operation that nothing waited for.
    #[error(
        "the GPU ran out of memory ({cause}); try a smaller context, a smaller model, or close \
         what else uses the GPU"
    )]
    MemoryRefused {
        /// The driver's message.
        cause: String,
    },
    /// More memory than the caller allows.
    #[error(
        "{what} takes {bytes} bytes, but of the {budget} bytes of GPU memory that are allowed \
         {used} are in use; allow more, or try a smaller context or a smaller model"
    )]
    OverBudget {
        /// The buffer.
        what: String,
        /// Its size.
        bytes: u64,
        /// Bytes in use.
        used: u64,
        /// The permitted bytes.
        budget: u64,
    },
    /// A buffer larger than the device allows.
    #[error("{what} takes {bytes} bytes, but a buffer of this GPU holds {most} at most")]
    BufferTooLarge {
        /// The buffer.
        what: String,
        /// Its size.
        bytes: u64,
        /// The device's limit.
        most: u64,
    },
    /// A kernel that the driver does not compile.
    #[error(
        "kernel {kernel} does not compile: {cause}; please report it with the output of `godwit \
         doctor`, and try another --adapter or --backend"
    )]
    Kernel {
        /// Kernel and variant.
        kernel: String,
        /// The compiler's message.
        cause: String,
    },
    /// The device went away or broke.
    #[error("the GPU failed: {cause}")]
    Failed {
        /// The driver's message.
        cause: String,
    },
    /// The device is gone, and all that was on it.
    #[error("the GPU was lost: {cause}; load the model again")]
    Lost {
        /// The driver's message.
        cause: String,
    },
    /// A backend by a name that is none.
    #[error("`{0}` is no backend; known: vulkan, metal, dx12, gl, webgpu")]
    UnknownBackend(String),
}

impl GpuError {
    /// Whether there is too little memory: with less to hold, the same work may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(
            self,
            Self::OutOfMemory { .. } | Self::MemoryRefused { .. } | Self::OverBudget { .. }
        )
    }
}

fn in_bytes(bytes: u64) -> String {
    if bytes == 0 {
        String::new()
    } else {
        format!(" ({bytes} bytes)")
    }
}
