//! The library itself: its versions, and the last error of each thread.

use std::ffi::c_char;

use crate::arguments::{out_text, out_value};
use crate::border::border_keeping_error;
use crate::status::{godwit_status, last_error};

/// The number of this interface. It changes when a function or a field goes or changes its meaning;
/// not when functions or fields are added.
pub const GODWIT_ABI: u32 = 0;

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
        let message = last_error();
        // SAFETY: The caller's buffer is valid for `capacity` bytes, or null.
        let written = unsafe { out_text(&message, buffer, capacity) };
        // SAFETY: `length` is null or valid.
        unsafe { out_value("length", length, message.len(), true) }?;
        written
    })
}
