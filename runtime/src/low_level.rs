//! The parts that the rest of this crate is made of, for tools: files as they are stored, plans and
//! buffers on a device, measurements, models of random weights.
//!
//! They change from one minor version to the next. What an application needs is at the crate's
//! root.

pub use godwit_shaders as shaders;
pub use godwit_shaders::capabilities::Tuning;
pub use godwit_shaders::{Cost, Step};

pub use crate::chat::TEMPLATE;
pub use crate::engine::peak_process_memory;
pub use crate::gpu::{DispatchTime, HostWork, Rates};
pub use crate::io::explained;
pub use crate::model::{BadSynthetic, Examination, Synthetic, name, tokens};

/// Models as they are stored, in whichever format.
pub mod checkpoint {
    pub use crate::checkpoint::*;
}

/// The GGUF format.
pub mod gguf {
    pub use crate::gguf::*;
}

/// Adapters, buffers, and plans that run on them.
pub mod gpu {
    pub use crate::gpu::*;
}

/// Sources of bytes, and files that are written and cached.
pub mod io {
    pub use crate::io::*;
}
