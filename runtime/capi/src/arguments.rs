//! What C hands over, checked, and what it gets back.

use std::ffi::c_char;
use std::mem::{align_of, size_of};

use crate::status::{Failure, Outcome, godwit_status};

/// A struct of the interface: it begins with its size, its fields are plain data, and any bytes are
/// a valid value of it. All zero is the default.
///
/// # Safety
/// The type is `repr(C)`, begins with `size: usize`, and is valid for any bit pattern.
pub(crate) unsafe trait Struct: Copy {}

/// The largest size that a struct may claim.
const MAX_STRUCT: usize = 4096;

/// Checks a pointer that is to be used for `count` values.
fn check<T>(name: &str, pointer: *const T, count: usize) -> Outcome {
    let most = isize::MAX as usize / size_of::<T>().max(1);
    if count > most {
        return Err(Failure::argument(format!(
            "{name}: {count} values are more than memory holds"
        )));
    }
    if pointer.is_null() {
        return Err(Failure::argument(format!("{name} is null")));
    }
    if !pointer.addr().is_multiple_of(align_of::<T>()) {
        return Err(Failure::argument(format!(
            "{name} is not aligned to {} bytes",
            align_of::<T>()
        )));
    }
    Ok(())
}

/// Values of the caller's.
///
/// # Safety
/// `pointer` is null, or valid for reads of `count` values during the call.
pub(crate) unsafe fn values<'a, T>(
    name: &str,
    pointer: *const T,
    count: usize,
) -> Outcome<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check(name, pointer, count)?;
    // SAFETY: It is not null, aligned, within the address space, and the caller says it is valid.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// A text of the caller's.
///
/// # Safety
/// As [`values`].
pub(crate) unsafe fn text<'a>(
    name: &str,
    pointer: *const c_char,
    length: usize,
) -> Outcome<&'a str> {
    // SAFETY: As the caller says. `c_char` has the size and alignment of `u8`.
    let bytes = unsafe { values(name, pointer.cast::<u8>(), length) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        Failure::argument(format!(
            "{name} is not UTF-8: byte {} is wrong",
            error.valid_up_to()
        ))
    })
}

/// A text that may be left out: null or empty.
///
/// # Safety
/// As [`values`].
pub(crate) unsafe fn optional_text<'a>(
    name: &str,
    pointer: *const c_char,
    length: usize,
) -> Outcome<Option<&'a str>> {
    if pointer.is_null() && length == 0 {
        return Ok(None);
    }
    // SAFETY: As the caller says.
    let text = unsafe { text(name, pointer, length) }?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The size that a struct claims to have.
///
/// # Safety
/// `pointer` is null, or valid for reads of a `usize`.
unsafe fn claimed_size<T: Struct>(name: &str, pointer: *const T) -> Outcome<usize> {
    check(name, pointer, 1)?;
    // SAFETY: `T` begins with its size, and the pointer is aligned for it.
    let size = unsafe { pointer.cast::<usize>().read() };
    if !(size_of::<usize>()..=MAX_STRUCT).contains(&size) {
        return Err(Failure::argument(format!(
            "{name}.size is {size}; set it to sizeof({name})"
        )));
    }
    Ok(size)
}

/// A struct of the caller's, which may be older or newer than this library. Null: the default.
///
/// # Safety
/// `pointer` is null, or valid for reads of as many bytes as its first field says.
pub(crate) unsafe fn options<T: Struct>(name: &str, pointer: *const T) -> Outcome<T> {
    // SAFETY: All zero is a value of `T`.
    let mut value: T = unsafe { std::mem::zeroed() };
    if pointer.is_null() {
        return Ok(value);
    }
    // SAFETY: As the caller says.
    let size = unsafe { claimed_size(name, pointer) }?;
    // SAFETY: The caller says that so many bytes are readable.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let (known, newer) = bytes.split_at(size.min(size_of::<T>()));
    if newer.iter().any(|&byte| byte != 0) {
        return Err(Failure::argument(format!(
            "{name} has fields that this version of Godwit ({}) does not know; leave them zero, \
             or use a newer library",
            env!("CARGO_PKG_VERSION")
        )));
    }
    // SAFETY: `known` is no longer than `T`, and any bytes are a value of `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(known.as_ptr(), (&raw mut value).cast::<u8>(), known.len());
    }
    Ok(value)
}

/// Checks a field that a later version may give a meaning.
pub(crate) fn check_reserved(name: &str, reserved: u32) -> Outcome {
    match reserved {
        0 => Ok(()),
        _ => Err(Failure::argument(format!(
            "{name}.reserved is {reserved}; set the whole struct to zero first"
        ))),
    }
}

/// Structs of the caller's in a row, which are as far apart as the first one's size says.
///
/// # Safety
/// `pointer` is null, or valid for reads of `count` times as many bytes as its first field says.
pub(crate) unsafe fn option_list<T: Struct>(
    name: &str,
    pointer: *const T,
    count: usize,
) -> Outcome<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: As the caller says.
    let size = unsafe { claimed_size(name, pointer) }?;
    if count > isize::MAX as usize / size || !size.is_multiple_of(align_of::<T>()) {
        return Err(Failure::argument(format!(
            "{name}: {count} values of {size} bytes are no array"
        )));
    }
    let mut list = Vec::new();
    for index in 0..count {
        // SAFETY: The element lies within the array; it is aligned, as its size is.
        let one = unsafe {
            let at = pointer.cast::<u8>().add(index * size).cast::<T>();
            if at.cast::<usize>().read() != size {
                return Err(Failure::argument(format!(
                    "{name}[{index}].size is not that of {name}[0]"
                )));
            }
            options(name, at)
        }?;
        list.push(one);
    }
    Ok(list)
}

/// Writes a value to the caller. `is_optional`: null means that nobody wants it.
///
/// # Safety
/// `pointer` is null, or valid for a write.
pub(crate) unsafe fn out_value<T>(
    name: &str,
    pointer: *mut T,
    value: T,
    is_optional: bool,
) -> Outcome {
    if is_optional && pointer.is_null() {
        return Ok(());
    }
    check(name, pointer, 1)?;
    // SAFETY: Not null, aligned, and the caller says that it is valid.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Checks a place for a handle before anything is made, and sets it to 0.
///
/// # Safety
/// As [`out_value`].
pub(crate) unsafe fn out_handle(name: &str, pointer: *mut u64) -> Outcome {
    // SAFETY: As the caller says.
    unsafe { out_value(name, pointer, 0, false) }
}

/// Checks a struct that the caller gives room for.
///
/// # Safety
/// As [`out_struct`].
pub(crate) unsafe fn check_out_struct<T: Struct>(name: &str, pointer: *mut T) -> Outcome {
    // SAFETY: As the caller says.
    unsafe { claimed_size(name, pointer.cast_const()) }.map(drop)
}

/// Writes a struct to the caller, as much of it as the caller knows, but not its size. What the
/// caller knows and this library doesn't becomes zero.
///
/// # Safety
/// `pointer` is null, or valid for writes of as many bytes as its first field says.
pub(crate) unsafe fn out_struct<T: Struct>(name: &str, pointer: *mut T, value: &T) -> Outcome {
    // SAFETY: As the caller says.
    let size = unsafe { claimed_size(name, pointer.cast_const()) }?;
    let (begin, known) = (size_of::<usize>(), size.min(size_of::<T>()));
    let to = pointer.cast::<u8>();
    // SAFETY: Both are valid from `begin` to `known`, and the caller's bytes to `size`. They do not
    // overlap: `value` is ours.
    unsafe {
        let from = std::ptr::from_ref(value).cast::<u8>();
        std::ptr::copy_nonoverlapping(from.add(begin), to.add(begin), known - begin);
        to.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// Writes a text and a 0 behind it, as much as there is room for.
///
/// # Safety
/// `buffer` is null, or valid for writes of `capacity` bytes.
pub(crate) unsafe fn out_text(text: &str, buffer: *mut c_char, capacity: usize) -> Outcome {
    if capacity > 0 {
        check("buffer", buffer, capacity)?;
        let mut written = text.len().min(capacity - 1);
        while !text.is_char_boundary(written) {
            written -= 1;
        }
        // SAFETY: `written` and the 0 fit into `capacity` bytes, which the caller says are valid.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), written);
            buffer.add(written).write(0);
        }
    }
    match text.len() < capacity {
        true => Ok(()),
        false => Err(too_small("bytes", text.len().saturating_add(1), capacity)),
    }
}

/// Writes ids where all of them fit, and how many there are.
///
/// # Safety
/// `ids` is null, or valid for writes of `capacity` values; `count` is null, or valid.
pub(crate) unsafe fn out_ids(
    found: &[u32],
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> Outcome {
    // SAFETY: As the caller says.
    unsafe { out_value("count", count, found.len(), false) }?;
    if found.len() > capacity {
        return Err(too_small("ids", found.len(), capacity));
    }
    if !found.is_empty() {
        check("ids", ids, capacity)?;
        // SAFETY: They fit, and the caller says that the place is valid.
        unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), ids, found.len()) };
    }
    Ok(())
}

fn too_small(what: &str, needed: usize, capacity: usize) -> Failure {
    Failure::new(
        godwit_status::GODWIT_BUFFER_TOO_SMALL,
        format!("{needed} {what} are needed, but the buffer has room for {capacity}"),
    )
}

/// A text in an array of fixed length, cut where it is too long, with a 0 behind it.
pub(crate) fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = from.cast_signed() as c_char;
    }
    array
}
