//! The engine: a model on the GPU, and its conversation.

use std::ops::ControlFlow;

use godwit::{
    ContextSize, Engine, EngineOptions, Gpu, GpuOptions, MemoryUse, Progress, Session, Spilling,
    unwatched,
};
use js_sys::{Array, Function};
use tsify::Ts;
use wasm_bindgen::prelude::*;

use crate::error::WebError;
use crate::model::{Options, WebModel, from_js, memory_of, to_js};
use crate::packed_dot::has_packed_dot;
use crate::source::{ByteFile, Cursor, Sink};
use godwit_wire::{self as wire, EngineInfo};

/// An opened GPU without a model.
#[wasm_bindgen]
pub struct WebGpu {
    gpu: Gpu,
    options: Options,
}

#[wasm_bindgen]
impl WebGpu {
    /// Validates the options, then opens the adapter. `vendor` and `architecture` are those of the
    /// browser's `GPUAdapterInfo`.
    ///
    /// # Errors
    /// An option is invalid, or no adapter meets the requirements.
    pub async fn open(
        options: Ts<wire::EngineOptions>,
        vendor: String,
        architecture: String,
    ) -> Result<WebGpu, WebError> {
        let options = Options::check(&options)?;
        let gpu = GpuOptions::default()
            .memory(options.memory)
            .webgpu_limits(options.webgpu_limits)
            .packed_dot(Some(has_packed_dot(&vendor, &architecture)));
        Ok(Self {
            gpu: Gpu::open(&gpu).await?,
            options,
        })
    }

    /// Compares the memory that a model needs with the limits. Reads only the model's head.
    ///
    /// # Errors
    /// A buffer would exceed the GPU's limit, or all buffers together `memory`.
    pub fn check(&self, model: &WebModel) -> Result<(), WebError> {
        let (model, caps) = (&model.model, self.gpu.caps());
        let context = self.options.context(model, caps);
        Ok(MemoryUse::check(
            model,
            context,
            self.options.kv,
            caps,
            self.options.memory,
        )?)
    }

    /// Loads a model onto the GPU. `progress` receives the bytes done and their total; loading
    /// stops if it returns false.
    ///
    /// # Errors
    /// There is too little memory, a file can't be read, or `progress` stopped loading.
    pub async fn load(self, model: &WebModel, progress: Function) -> Result<WebEngine, WebError> {
        let Self { gpu, options } = self;
        let model = model.model.clone();
        let context = ContextSize::Tokens(options.context(&model, gpu.caps()));
        // Spilled segments of the KV cache would have to fit into wasm's memory.
        let spill = Spilling::Never;
        // A snapshot needs the hash of the weights. Reading the files again for it may be slow, or
        // impossible.
        let options = EngineOptions::default()
            .context(context)
            .kv(options.kv)
            .spill(spill)
            .hash_weights(true);
        let mut report = |now: Progress| report_progress(&progress, now);
        let device = gpu.clone();
        let loading = async {
            Engine::load(gpu, &model, &options, &mut report)
                .await?
                .session()
                .await
        };
        // Without it, buffers live until the browser's garbage collection.
        let session = loading.await.inspect_err(|_| device.destroy())?;
        Ok(WebEngine { session })
    }

    /// Closes the GPU.
    pub fn destroy(self) {
        self.gpu.destroy();
    }
}

/// A model on the GPU, with one conversation.
#[wasm_bindgen]
pub struct WebEngine {
    pub(crate) session: Session,
}

#[wasm_bindgen]
impl WebEngine {
    /// The adapter, its limits, and the memory in use.
    ///
    /// # Errors
    /// The conversion to a JavaScript object fails. No cause of that is known.
    pub fn info(&self) -> Result<Ts<EngineInfo>, WebError> {
        let (session, engine) = (&self.session, self.session.engine());
        let (adapter, wasm) = (engine.gpu().summary(), wasm_bindgen::memory());
        let buffer = js_sys::Reflect::get(&wasm, &"buffer".into()).unwrap_or_default();
        to_js(&EngineInfo {
            adapter: adapter.to_string(),
            driver: adapter.driver.clone(),
            features: adapter.features.iter().map(ToString::to_string).collect(),
            max_binding: adapter.max_binding,
            max_buffer: adapter.max_buffer,
            context: engine.context(),
            kv: engine.kv_format().to_string(),
            used_tokens: session.tokens().len() as u64,
            kv_bytes_per_token: session.kv_bytes_per_token(),
            memory: memory_of(session.memory()),
            wasm_bytes: buffer
                .dyn_ref::<js_sys::ArrayBuffer>()
                .map_or(0.0, |buffer| buffer.byte_length().into()),
        })
    }

    /// The conversation's tokens.
    pub fn tokens(&self) -> Vec<u32> {
        self.session.tokens().to_vec()
    }

    /// Removes all tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.session.truncate(len);
    }

    /// Writes a snapshot: the conversation's tokens and KV cache, and a note. `write` is called
    /// with one `Uint8Array` after the other.
    ///
    /// # Errors
    /// The session has no tokens, `write` throws, or the GPU fails.
    pub async fn save(&self, write: Function, note: JsValue) -> Result<(), WebError> {
        let end = self.session.tokens().len();
        Ok(self
            .session
            .save(
                &mut Sink(&write),
                0..end,
                from_js("note", &note)?,
                &mut unwatched,
            )
            .await?)
    }

    /// Replaces the conversation with a snapshot that [`WebEngine::save`] wrote. Returns its note.
    ///
    /// # Errors
    /// The snapshot belongs to another model, exceeds the context, or is damaged. In the first two
    /// cases the conversation stays.
    pub async fn resume(&mut self, file: ByteFile) -> Result<JsValue, WebError> {
        let header = self
            .session
            .resume(&mut Cursor::from(file), None, &mut unwatched)
            .await?;
        let note = js_sys::JSON::parse(&header.note.to_string());
        note.map_err(|_| WebError::bad_request("the note of the snapshot is not JSON"))
    }

    /// Frees the GPU's memory.
    pub fn destroy(self) {
        self.session.engine().gpu().destroy();
    }
}

/// Calls back with the progress: the operation goes on unless the callback throws or returns false.
pub fn report_progress(callback: &Function, now: Progress) -> ControlFlow<()> {
    let arguments = Array::of2(&(now.done as f64).into(), &(now.total as f64).into());
    let goes_on = callback
        .apply(&JsValue::NULL, &arguments)
        .is_ok_and(|result| result != JsValue::FALSE);
    if goes_on {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
