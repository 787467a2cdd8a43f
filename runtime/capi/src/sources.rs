//! Models from memory, and from a reader of the host's.

use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};

use godwit::{Model, Source, SourceCause, SourceError};

use crate::arguments::{Struct, optional_text, options, out_handle, values};
use crate::border::border;
use crate::model::{godwit_model, insert_model};
use crate::status::{Failure, Outcome, godwit_status};

/// Where a model's bytes come from: an entry of the host's archive.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_reader {
    /// sizeof(godwit_reader).
    pub size: usize,
    /// A name for messages, in UTF-8; may be null.
    pub name: *const c_char,
    /// Bytes of `name`.
    pub name_length: usize,
    /// Bytes of the model.
    pub length: u64,
    /// Handed to the callbacks.
    pub user: *mut c_void,
    /// Reads `length` bytes of the model from `offset` on into `into`. Returns 0 where all of them
    /// were read, and anything else where not. It is called on any thread, but on one at a time. It
    /// must not call Godwit, and must not throw.
    pub read: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            offset: u64,
            into: *mut c_void,
            length: usize,
        ) -> i32,
    >,
    /// Called once, on any thread, when nothing will be read any more: also where opening fails,
    /// unless the result is GODWIT_BAD_ARGUMENT. May be null.
    pub release: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

// SAFETY: `repr(C)`, begins with its size, and an `Option` of a function is null or an address.
unsafe impl Struct for godwit_reader {}

/// The host's pointer.
struct User(*mut c_void);

// SAFETY: The header says that the callbacks are called on any thread, one at a time.
unsafe impl Send for User {}

/// A source that asks the host.
struct Callbacks {
    name: String,
    length: u64,
    read: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> i32,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
    user: Mutex<User>,
}

impl Source for Callbacks {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let (needed, remaining) = (into.len() as u64, self.length.saturating_sub(offset));
        if needed > remaining {
            let cause = SourceCause::Truncated { needed, remaining };
            return Err(SourceError::new(&self.name, cause).at(offset));
        }
        let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: The host says that its function may be called with its pointer; `into` is valid
        // for its length.
        let result = unsafe { (self.read)(user.0, offset, into.as_mut_ptr().cast(), into.len()) };
        match result {
            0 => Ok(()),
            code => {
                let (doing, message) = ("read", format!("the reader returned {code}"));
                let cause = SourceCause::Io { doing, message };
                Err(SourceError::new(&self.name, cause).at(offset))
            }
        }
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            let user = self.user.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: As the host says; nothing reads any more.
            unsafe { release(user.0) };
        }
    }
}

/// Bytes of the host's, which it keeps.
struct Memory {
    name: String,
    bytes: &'static [u8],
}

impl Source for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|from| self.bytes.get(from..))
            .unwrap_or_default();
        let Some(found) = rest.get(..into.len()) else {
            let (needed, remaining) = (into.len() as u64, rest.len() as u64);
            let cause = SourceCause::Truncated { needed, remaining };
            return Err(SourceError::new(&self.name, cause).at(offset));
        };
        into.copy_from_slice(found);
        Ok(())
    }

    fn mapped(&self) -> Option<&[u8]> {
        Some(self.bytes)
    }
}

fn open(source: Box<dyn Source>, model: *mut godwit_model) -> Outcome {
    insert_model(Model::from_sources(vec![source])?, model)
}

/// Opens a GGUF model that is in memory, without copying it.
///
/// @param data    the bytes, at any alignment. They must stay as they are until the model and all
///                engines that were loaded from it are closed.
/// @param length  how many
/// @param model   takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_open_memory(
    data: *const c_void,
    length: usize,
    model: *mut godwit_model,
) -> godwit_status {
    border(|| {
        // SAFETY: `model` is null or valid.
        unsafe { out_handle("model", model) }?;
        // SAFETY: The caller keeps the bytes as long as anything uses them, as the header says.
        let bytes: &'static [u8] = unsafe { values("data", data.cast::<u8>(), length) }?;
        let name = "a model in memory".into();
        open(Box::new(Memory { name, bytes }), model)
    })
}

/// Opens a GGUF model whose bytes a function of the host's reads.
///
/// @param reader  where they come from. It is copied; `user` must stay valid until `release` is
///                called, or the model and all engines that were loaded from it are closed.
/// @param model   takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_open_reader(
    reader: *const godwit_reader,
    model: *mut godwit_model,
) -> godwit_status {
    border(|| {
        // SAFETY: `model` is null or valid.
        unsafe { out_handle("model", model) }?;
        // SAFETY: `reader` is null or valid for its size.
        let reader = unsafe { options("godwit_reader", reader) }?;
        let Some(read) = reader.read else {
            return Err(Failure::argument("godwit_reader.read is null"));
        };
        // SAFETY: The text is null or valid for its length.
        let name = unsafe { optional_text("name", reader.name, reader.name_length) }?;
        let source = Callbacks {
            name: name.unwrap_or("a reader's model").into(),
            length: reader.length,
            read,
            release: reader.release,
            user: Mutex::new(User(reader.user)),
        };
        open(Box::new(source), model)
    })
}
