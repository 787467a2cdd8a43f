//! Engines: a model's weights on a GPU.

use std::ffi::c_char;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions, KvFormat, MemoryUse};

use crate::arguments::{
    Struct, check_out_struct, check_reserved, fixed, optional_text, out_handle, out_struct,
    out_value,
};
use crate::border::border;
use crate::entries::{EngineEntry, try_lock};
use crate::handles::{self, Object};
use crate::model::godwit_model;
use crate::status::{Failure, Outcome, godwit_status};

/// A model's weights on a GPU. 0 is none.
pub type godwit_engine = u64;

/// How a model is loaded. All zero is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_engine_options {
    /// sizeof(godwit_engine_options).
    pub size: usize,
    /// Part of the adapter's name, or its index (see `godwit_adapter`), in UTF-8. Null: the fastest
    /// kind there is.
    pub adapter: *const c_char,
    /// Bytes of `adapter`.
    pub adapter_length: usize,
    /// "vulkan", "metal", "dx12" or "gl". Null: any.
    pub backend: *const c_char,
    /// Bytes of `backend`.
    pub backend_length: usize,
    /// How the KV cache is stored: "f16", "q8_0" or "f32". Null: f16.
    pub kv: *const c_char,
    /// Bytes of `kv`.
    pub kv_length: usize,
    /// Bytes of GPU memory to take at most. 0: what there is.
    pub memory: u64,
    /// Tokens that a sequence holds at most. 0: the model's window. UINT32_MAX: as many as there is
    /// memory for.
    pub context: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, pointers and numbers only.
unsafe impl Struct for godwit_engine_options {}

/// What an engine is, and what its GPU is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_engine_info {
    /// sizeof(godwit_engine_info).
    pub size: usize,
    /// Bytes of weights on the GPU.
    pub weight_bytes: u64,
    /// Bytes of KV cache that a token takes.
    pub kv_bytes_per_token: u64,
    /// Tokens that a sequence holds at most.
    pub context: u32,
    /// Not 0: it computes on a CPU.
    pub is_cpu: u32,
    /// The adapter's name, in UTF-8 with a 0 at the end.
    pub adapter: [c_char; 128],
    /// "vulkan", "metal", "dx12" or "gl".
    pub backend: [c_char; 16],
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_engine_info {}

/// GPU memory that a model and one sequence take, in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_memory {
    /// sizeof(godwit_memory).
    pub size: usize,
    /// Weights and rotation tables.
    pub weights: u64,
    /// The KV cache of a full context.
    pub kv: u64,
    /// Activations.
    pub scratch: u64,
    /// What a model may take here: the limit that was set, or, where a CPU computes, what the
    /// machine has left. 0: not known.
    pub available: u64,
    /// The longest context that `available` is enough for; 0 where that is not known, or where not
    /// even one token fits.
    pub longest_context: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_memory {}

/// The options of a GPU and of an engine.
///
/// # Safety
/// The texts of `given` are null or valid for their lengths.
unsafe fn parsed(given: &godwit_engine_options) -> Outcome<(GpuOptions, EngineOptions)> {
    check_reserved("godwit_engine_options", given.reserved)?;
    // SAFETY: As the caller says.
    let (adapter, backend, kv) = unsafe {
        (
            optional_text("adapter", given.adapter, given.adapter_length)?,
            optional_text("backend", given.backend, given.backend_length)?,
            optional_text("kv", given.kv, given.kv_length)?,
        )
    };
    let backend = backend.map(str::parse).transpose()?;
    let kv: Option<KvFormat> = kv
        .map(str::parse)
        .transpose()
        .map_err(|error: godwit::errors::UnknownKvType| Failure::argument(error.to_string()))?;
    let gpu = GpuOptions::default()
        .adapter(adapter.map(str::to_owned))
        .backend(backend)
        .memory(Some(given.memory).filter(|&bytes| bytes > 0));
    let context = match given.context {
        0 => ContextSize::Window,
        u32::MAX => ContextSize::Max,
        tokens => ContextSize::Tokens(tokens),
    };
    let engine = EngineOptions::default()
        .context(context)
        .kv(kv.unwrap_or_default());
    Ok((gpu, engine))
}

/// Says what a model and a sequence of a full context will take, before it is loaded. Opens the
/// GPU, and allocates nothing on it.
///
/// @param options  as for `godwit_engine_load`; may be null
/// @param memory   takes the estimate
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_model_estimate(
    model: godwit_model,
    options: *const godwit_engine_options,
    memory: *mut godwit_memory,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        // SAFETY: `options` is null or valid for its size, and so are its texts.
        let (gpu, engine) = unsafe {
            let given = crate::arguments::options("godwit_engine_options", options)?;
            parsed(&given)?
        };
        // SAFETY: `memory` is null or valid for its size.
        unsafe { check_out_struct("godwit_memory", memory) }?;
        let gpu = pollster::block_on(Gpu::open(&gpu))?;
        let (model, caps) = (&entry.model, gpu.caps());
        let available = gpu.available_memory();
        let longest =
            available.map(|bytes| MemoryUse::longest_context(model, engine.kv, caps, bytes));
        let window = model.config().context;
        let context = match engine.context {
            ContextSize::Tokens(asked) if asked > window => {
                return Err(godwit::Error::Window { asked, window }.into());
            }
            ContextSize::Tokens(tokens) => tokens,
            ContextSize::Max => longest.unwrap_or(window),
            _ => window,
        };
        let found = MemoryUse::estimate(model, context, engine.kv, caps);
        let found = godwit_memory {
            size: 0,
            weights: found.weights,
            kv: found.kv,
            scratch: found.scratch,
            available: available.unwrap_or(0),
            longest_context: longest.unwrap_or(0),
            reserved: 0,
        };
        // SAFETY: As above.
        unsafe { out_struct("godwit_memory", memory, &found) }
    })
}

/// Loads a model's weights to a GPU. Takes from a second to minutes: call it on a thread of its
/// own, ask `godwit_model_progress` how far it is, and stop it with `godwit_cancel` of the model.
///
/// @param options  may be null
/// @param engine   takes the handle
///
/// @return GODWIT_BUSY where the model is being loaded already, GODWIT_STOPPED where it was
///         cancelled
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_engine_load(
    model: godwit_model,
    options: *const godwit_engine_options,
    engine: *mut godwit_engine,
) -> godwit_status {
    border(|| {
        // SAFETY: `engine` is null or valid.
        unsafe { out_handle("engine", engine) }?;
        let entry = handles::model(model)?;
        // SAFETY: `options` is null or valid for its size, and so are its texts.
        let (gpu, options) = unsafe {
            let given = crate::arguments::options("godwit_engine_options", options)?;
            parsed(&given)?
        };
        let _loading = try_lock(&entry.loading, "model")?;
        entry.is_stopped.store(false, Ordering::Relaxed);
        entry.done.store(0, Ordering::Relaxed);
        let mut hear = |progress| match entry.hear(progress) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let loaded = pollster::block_on(async {
            let gpu = Gpu::open(&gpu).await?;
            Engine::load(gpu, &entry.model, &options, &mut hear).await
        })?;
        let model = entry.clone();
        let loaded = EngineEntry {
            engine: loaded,
            model,
        };
        let new = handles::insert(Object::Engine(Arc::new(loaded)))?;
        // SAFETY: Checked above.
        unsafe { out_value("engine", engine, new, false) }
    })
}

/// Closes an engine. Schedulers that were opened on it go on; the memory is free when the last of
/// them is closed.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_engine_close(engine: godwit_engine) -> godwit_status {
    border(|| {
        handles::engine(engine)?;
        handles::remove(engine);
        Ok(())
    })
}

/// Describes an engine and its GPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_engine_describe(
    engine: godwit_engine,
    info: *mut godwit_engine_info,
) -> godwit_status {
    border(|| {
        let entry = handles::engine(engine)?;
        let (engine, adapter) = (&entry.engine, entry.engine.gpu().summary());
        let found = godwit_engine_info {
            size: 0,
            weight_bytes: engine.memory().weights,
            kv_bytes_per_token: engine.kv_bytes_per_token(),
            context: engine.context(),
            is_cpu: adapter.is_cpu().into(),
            adapter: fixed(&adapter.name),
            backend: fixed(&adapter.backend.to_string()),
        };
        // SAFETY: `info` is null or valid for its size.
        unsafe { out_struct("godwit_engine_info", info, &found) }
    })
}
