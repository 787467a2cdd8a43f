//! Models: files that were opened and checked.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit::Model;

use crate::arguments::{Struct, fixed, out_handle, out_struct, out_value, text};
use crate::border::border;
use crate::entries::ModelEntry;
use crate::handles::{self, Object};
use crate::status::{Outcome, godwit_status};

/// A model that was opened. 0 is none.
pub type godwit_model = u64;

/// What a model's files say of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_model_info {
    /// sizeof(godwit_model_info).
    pub size: usize,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// The window that it was trained for, in tokens.
    pub context: u32,
    /// Tokens of its vocabulary.
    pub vocabulary: u32,
    /// Transformer blocks.
    pub layers: u32,
    /// Not 0: `godwit_encode_chat` and `godwit_say` work.
    pub has_chat: u32,
    /// Its name, in UTF-8 with a 0 at the end.
    pub name: [c_char; 128],
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_model_info {}

/// Gives a model a handle.
pub(crate) fn insert_model(model: Model, handle: *mut godwit_model) -> Outcome {
    let entry = ModelEntry::new(model);
    let new = handles::insert(Object::Model(Arc::new(entry)))?;
    // SAFETY: Each caller has checked the pointer with `out_handle`.
    unsafe { out_value("model", handle, new, false) }
}

/// Opens a model: a GGUF file (of a split model, the first part), or the folder of a Hugging Face
/// repository with safetensors. The file is mapped, and must not be cut short while it is used.
///
/// @param path         its path, in UTF-8
/// @param path_length  bytes of `path`
/// @param model        takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_open(
    path: *const c_char,
    path_length: usize,
    model: *mut godwit_model,
) -> godwit_status {
    border(|| {
        // SAFETY: `model` is null or valid.
        unsafe { out_handle("model", model) }?;
        // SAFETY: `path` is null or valid for its length.
        let path = unsafe { text("path", path, path_length) }?;
        insert_model(Model::open(Path::new(path))?, model)
    })
}

/// Opens a GGUF model inside a larger file.
///
/// @param path         the file's path, in UTF-8
/// @param path_length  bytes of `path`
/// @param offset       where the model begins, at any byte
/// @param length       bytes of the model
/// @param model        takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_open_region(
    path: *const c_char,
    path_length: usize,
    offset: u64,
    length: u64,
    model: *mut godwit_model,
) -> godwit_status {
    border(|| {
        // SAFETY: `model` is null or valid.
        unsafe { out_handle("model", model) }?;
        // SAFETY: `path` is null or valid for its length.
        let path = unsafe { text("path", path, path_length) }?;
        let opened = Model::open_region(Path::new(path), offset, length)?;
        insert_model(opened, model)
    })
}

/// Closes a model. Engines that were loaded from it go on.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_model_close(model: godwit_model) -> godwit_status {
    border(|| {
        handles::model(model)?;
        handles::remove(model);
        Ok(())
    })
}

/// Describes a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_describe(
    model: godwit_model,
    info: *mut godwit_model_info,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        let (model, config) = (&entry.model, entry.model.config());
        let found = godwit_model_info {
            size: 0,
            file_bytes: model.checkpoint().file_bytes(),
            context: config.context,
            vocabulary: config.vocab,
            layers: config.layers,
            has_chat: model.chat().is_ok().into(),
            name: fixed(&model.name()),
        };
        // SAFETY: `info` is null or valid for its size.
        unsafe { out_struct("godwit_model_info", info, &found) }
    })
}

/// Says how far `godwit_engine_load` of this model is, while another thread is in it.
///
/// @param done   takes bytes of weights that are on the GPU
/// @param total  takes bytes of all; 0 before the first are
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_progress(
    model: godwit_model,
    done: *mut u64,
    total: *mut u64,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        // SAFETY: Both are null or valid.
        unsafe {
            out_value("done", done, entry.done.load(Ordering::Relaxed), false)?;
            out_value("total", total, entry.total.load(Ordering::Relaxed), false)
        }
    })
}
