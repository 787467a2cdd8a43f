//! Errors as JavaScript's.

use godwit::{Error, GpuError};
use wasm_bindgen::JsValue;

/// An error on its way to JavaScript, where its `name` says what class it is of.
pub struct Fault {
    name: &'static str,
    message: String,
}

impl Fault {
    /// A call that makes no sense.
    pub fn bad_request(message: impl ToString) -> Self {
        Self { name: "BadRequest", message: message.to_string() }
    }
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        let error = error.into();
        let name = match &error {
            Error::Gpu(gpu) => match gpu {
                GpuError::NoAdapter { .. } | GpuError::Device { .. } | GpuError::Limit { .. } => "NoWebGPU",
                GpuError::OutOfMemory { .. }
                | GpuError::MemoryRefused { .. }
                | GpuError::OverBudget { .. }
                | GpuError::BufferTooLarge { .. } => "OutOfMemory",
                _ => "DeviceLost",
            },
            Error::Stopped => "Aborted",
            Error::ContextFull { .. } => "ContextFull",
            Error::Saved(_) | Error::Write(_) | Error::File(_) => "BadContext",
            Error::Spill(_) => "OutOfMemory",
            Error::Sampling(_) | Error::Window { .. } | Error::NoSuchToken { .. } | Error::Empty => "BadRequest",
            _ => "BadModel",
        };
        let message = match &error {
            // Drivers are the browser's matter here.
            Error::Gpu(GpuError::NoAdapter { .. }) => {
                "this browser offers no GPU; on Linux WebGPU may have to be switched on in its settings".into()
            }
            _ => error.to_string(),
        };
        Self { name, message }
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        let error = js_sys::Error::new(&fault.message);
        error.set_name(fault.name);
        error.into()
    }
}
