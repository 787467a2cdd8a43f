//! The conversion of errors to JavaScript's.

use godwit::{Error, GpuError};
use wasm_bindgen::JsValue;

use godwit_wire::ErrorName;

/// An error for JavaScript: the name of its class, and its message.
pub struct WebError {
    name: ErrorName,
    message: String,
}

impl WebError {
    /// An error of an invalid call.
    pub fn bad_request(message: impl ToString) -> Self {
        Self {
            name: ErrorName::BadRequest,
            message: message.to_string(),
        }
    }

    /// Says of a lack of memory that `n` replies were asked for. Other errors stay as they are.
    pub fn of_replies(mut self, n: u32) -> Self {
        if self.name == ErrorName::OutOfMemory {
            self.message = format!(
                "n is {n}, and several replies need GPU memory beside the conversation's, which \
                 one reply does not: {}",
                self.message
            );
        }
        self
    }
}

impl<E: Into<Error>> From<E> for WebError {
    fn from(error: E) -> Self {
        let error = error.into();
        let name = match &error {
            Error::Gpu(gpu) => match gpu {
                // Another device may compile a kernel that this one refuses. Loading again would
                // not help.
                GpuError::NoAdapter { .. }
                | GpuError::NoMatch { .. }
                | GpuError::Device { .. }
                | GpuError::Limit { .. }
                | GpuError::Kernel { .. } => ErrorName::NoWebGPU,
                GpuError::OutOfMemory { .. }
                | GpuError::MemoryRefused { .. }
                | GpuError::OverBudget { .. }
                | GpuError::BufferTooLarge { .. } => ErrorName::OutOfMemory,
                _ => ErrorName::DeviceLost,
            },
            Error::Stopped => ErrorName::Aborted,
            Error::ContextFull { .. } => ErrorName::ContextFull,
            Error::Write(_) | Error::File(_) => ErrorName::StorageError,
            Error::Spill(_) | Error::KvMemory { .. } | Error::Fragmented => ErrorName::OutOfMemory,
            Error::Snapshot(_) => ErrorName::BadContext,
            Error::Sampling(_)
            | Error::Window { .. }
            | Error::NoSuchToken { .. }
            | Error::SharedKvType { .. }
            | Error::Empty => ErrorName::BadRequest,
            Error::NoSuchSequence | Error::ForkBeyond { .. } | Error::Busy { .. } => {
                ErrorName::GodwitError
            }
            _ => ErrorName::BadModel,
        };
        let message = match &error {
            // The runtime's message is about drivers, which the browser chooses.
            Error::Gpu(GpuError::NoAdapter { .. }) => {
                "this browser offers no GPU; on Linux, enable WebGPU in its settings".into()
            }
            _ => error.to_string(),
        };
        Self { name, message }
    }
}

impl From<WebError> for JsValue {
    fn from(WebError { name, message }: WebError) -> Self {
        let error = js_sys::Error::new(&message);
        error.set_name(&name.name());
        error.into()
    }
}
