//! Results of functions, and the last error of each thread.

use godwit::{Error, GpuError};
use std::cell::RefCell;

/// What a function returns. Negative values are errors, which `godwit_last_error` describes.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum godwit_status {
    /// Done.
    GODWIT_OK = 0,
    /// An argument is null, not aligned, too long, out of its range, or not UTF-8.
    GODWIT_BAD_ARGUMENT = -1,
    /// The handle is 0, of another kind, or of something that was closed or has ended.
    GODWIT_BAD_HANDLE = -2,
    /// Another call is using the scheduler, or loading the model. Nothing was done.
    GODWIT_BUSY = -3,
    /// The buffer is too small. The length that is needed was written; nothing was lost.
    GODWIT_BUFFER_TOO_SMALL = -4,
    /// The model can't be read, or is none that Godwit runs.
    GODWIT_BAD_MODEL = -5,
    /// There is no such GPU, or it failed.
    GODWIT_GPU = -6,
    /// The GPU was lost. Load the model again.
    GODWIT_GPU_LOST = -7,
    /// The GPU has too little memory, or the limit that was set is reached.
    GODWIT_OUT_OF_MEMORY = -8,
    /// The tokens do not fit the context.
    GODWIT_CONTEXT_FULL = -9,
    /// Too many requests wait.
    GODWIT_QUEUE_FULL = -10,
    /// A snapshot is damaged, or another model's.
    GODWIT_BAD_SNAPSHOT = -11,
    /// A file can't be read or written.
    GODWIT_FILE = -12,
    /// `godwit_cancel` ended it.
    GODWIT_STOPPED = -13,
    /// A defect of Godwit: please report it. The scheduler that it happened in can only be closed;
    /// others go on.
    GODWIT_PANIC = -14,
    /// Any other error.
    GODWIT_ERROR = -15,
}

use godwit_status::*;

/// An error on its way to the caller.
pub(crate) struct Failure {
    pub status: godwit_status,
    pub message: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(status: godwit_status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// An argument that is wrong.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(GODWIT_BAD_ARGUMENT, message)
    }
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        let status = match error {
            GpuError::Lost { .. } => GODWIT_GPU_LOST,
            GpuError::UnknownBackend(_) | GpuError::Tuning(_) | GpuError::MaxBinding { .. } => {
                GODWIT_BAD_ARGUMENT
            }
            GpuError::OverBudget { .. } | GpuError::BufferTooLarge { .. } => GODWIT_OUT_OF_MEMORY,
            _ if error.is_out_of_memory() => GODWIT_OUT_OF_MEMORY,
            _ => GODWIT_GPU,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Gpu(error) => return error.clone().into(),
            Error::Format(_)
            | Error::Config(_)
            | Error::TensorMissing { .. }
            | Error::TensorsUnused { .. }
            | Error::NoTensors { .. }
            | Error::TensorShape { .. }
            | Error::TensorWidth { .. }
            | Error::LogitsNotFinite { .. }
            | Error::InputsNotFinite { .. } => GODWIT_BAD_MODEL,
            Error::Sampling(_)
            | Error::Window { .. }
            | Error::NoSuchToken { .. }
            | Error::Empty
            | Error::ForkBeyond { .. }
            | Error::SharedKvType { .. }
            | Error::KvMemory { .. } => GODWIT_BAD_ARGUMENT,
            Error::NoSuchSequence => GODWIT_BAD_HANDLE,
            Error::ContextFull { .. } => GODWIT_CONTEXT_FULL,
            Error::Busy { .. } => GODWIT_QUEUE_FULL,
            Error::Snapshot(_) => GODWIT_BAD_SNAPSHOT,
            Error::File(_) | Error::Write(_) | Error::Spill(_) => GODWIT_FILE,
            Error::Stopped => GODWIT_STOPPED,
            _ => GODWIT_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the message of an error for `godwit_last_error`.
pub(crate) fn set_last_error(message: String) {
    // A thread that is ending has no place for it, nor anyone who asks.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = message;
        }
    });
}

/// The message of this thread's last error.
pub(crate) fn last_error() -> String {
    LAST.with_borrow(Clone::clone)
}
