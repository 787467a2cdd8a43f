//! Results of functions, and the last error of each thread.

use std::cell::RefCell;
use std::ffi::c_char;

use godwit::{Error, GpuError};

use crate::arguments::{out_text, out_value};
use crate::border::border_keeping_error;

/// The number of this interface. It changes when a function or a field goes or changes its meaning;
/// not when functions or fields are added.
pub const GODWIT_ABI: u32 = 0;

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

/// The number of the interface that the library has: `GODWIT_ABI` of its header. Compare the two
/// before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_abi() -> u32 {
    GODWIT_ABI
}

/// The library's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn godwit_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Describes the error of this thread's last call that returned one: what is wrong, where, what to
/// do. Empty where there was none.
///
/// @param buffer    takes the text in UTF-8, and a 0 behind it; may be null where `capacity` is 0
/// @param capacity  bytes of `buffer`
/// @param length    takes the length of the text without the 0; may be null
///
/// @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `length` + 1. The beginning of the
///         text was written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_last_error(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> godwit_status {
    border_keeping_error(|| {
        let message = LAST.with_borrow(Clone::clone);
        // SAFETY: The caller's buffer is valid for `capacity` bytes, or null.
        let written = unsafe { out_text(&message, buffer, capacity) };
        // SAFETY: `length` is null or valid.
        unsafe { out_value("length", length, message.len(), true) }?;
        written
    })
}
