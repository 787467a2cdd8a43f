//! A model on the GPU, and its conversation.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;

use godwit::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, MemoryUse, Progress, Session,
    Spilling,
};
use js_sys::{Array, Function};
use tsify::Ts;
use wasm_bindgen::prelude::*;

use crate::error::Fault;
use crate::model::{Options, WebModel, from_js, memory_of, to_js};
use crate::source::{ByteFile, Cursor, Sink};
use godwit_wire::{self as wire, EngineInfo};

/// An opened GPU, before a model is on it.
#[wasm_bindgen]
pub struct WebGpu {
    gpu: Gpu,
    options: Options,
}

#[wasm_bindgen]
impl WebGpu {
    /// Checks the options, then opens the adapter. `vendor` and `architecture` are what the
    /// browser's `GPUAdapterInfo` says.
    ///
    /// # Errors
    /// An option makes no sense, or there is no adapter that is good enough.
    pub async fn open(
        options: Ts<wire::EngineOptions>,
        vendor: String,
        architecture: String,
    ) -> Result<WebGpu, Fault> {
        let options = Options::check(&options)?;
        let gpu = GpuOptions {
            memory: options.memory,
            webgpu_limits: options.webgpu_limits,
            dots: Some(has_packed_dot(&vendor, &architecture)),
            ..GpuOptions::default()
        };
        Ok(Self {
            gpu: Gpu::open(&gpu).await?,
            options,
        })
    }

    /// Compares what a model will take with what the GPU allows. Reads only the model's head.
    ///
    /// # Errors
    /// A buffer would be larger than the GPU's largest, or all of them more than `memory`.
    pub fn check(&self, model: &WebModel) -> Result<(), Fault> {
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

    /// Brings a model onto the GPU. `progress` hears the bytes done, and of how many; should it
    /// return false, loading ends.
    ///
    /// # Errors
    /// There is too little memory, a file can't be read, or `progress` ended it.
    pub async fn load(self, model: &WebModel, progress: Function) -> Result<WebEngine, Fault> {
        let Self { gpu, options } = self;
        let model = model.model.clone();
        let context = ContextSize::Tokens(options.context(&model, gpu.caps()));
        // What leaves the GPU would have to fit wasm's memory.
        let spill = Spilling::Never;
        // Files may be slow to read again, or gone, when the context is saved.
        let options = EngineOptions {
            context,
            kv: options.kv,
            spill,
            hash_weights: true,
            ..EngineOptions::default()
        };
        let stopped = Cell::new(false);
        let mut report =
            |now: Progress| stopped.set(!goes_on(&progress, now.done as f64, now.total as f64));
        let device = gpu.clone();
        let loading = async {
            Engine::load(gpu, &model, &options, &mut report)
                .await?
                .session()
                .await
        };
        let loaded = unless(&stopped, loading).await;
        // Buffers live until the browser collects them, unless their device ends.
        let session = loaded.inspect_err(|_| device.device().destroy())?;
        Ok(WebEngine { session })
    }

    /// Closes the GPU.
    pub fn destroy(self) {
        self.gpu.device().destroy();
    }
}

/// A model on the GPU with one conversation.
#[wasm_bindgen]
pub struct WebEngine {
    pub(crate) session: Session,
}

#[wasm_bindgen]
impl WebEngine {
    /// What the engine runs on and takes.
    ///
    /// # Errors
    /// None that is known.
    pub fn info(&self) -> Result<Ts<EngineInfo>, Fault> {
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

    /// Forgets all tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.session.truncate(len);
    }

    /// Hands the conversation's tokens and KV cache to `write`, a piece at a time, with a note that
    /// comes back when they are read.
    ///
    /// # Errors
    /// There are no tokens, `write` throws, or the GPU fails.
    pub async fn save(&self, write: Function, note: JsValue) -> Result<(), Fault> {
        let end = self.session.tokens().len();
        let mut go_on = |_, _| ControlFlow::Continue(());
        Ok(self
            .session
            .save(
                &mut Sink(&write),
                0..end,
                from_js("note", &note)?,
                &mut go_on,
            )
            .await?)
    }

    /// Goes on from what [`WebEngine::save`] wrote; the conversation until now is forgotten.
    /// Returns the note.
    ///
    /// # Errors
    /// The file is of another model, or does not fit: the conversation stays. Or it is damaged.
    pub async fn resume(&mut self, file: ByteFile) -> Result<JsValue, Fault> {
        let mut go_on = |_, _| ControlFlow::Continue(());
        let header = self
            .session
            .resume(&mut Cursor::from(file), None, &mut go_on)
            .await?;
        // Any JSON, as it was given to [`WebEngine::save`].
        let note = js_sys::JSON::parse(&header.note.to_string());
        note.map_err(|_| Fault::bad_request("the note of the saved context is no JSON"))
    }

    /// Gives the GPU's memory back. Nothing else may be called after it.
    pub fn destroy(self) {
        self.session.engine().gpu().device().destroy();
    }
}

/// Whether GPUs of this vendor and architecture, by Dawn's names, have an instruction for dot
/// products of four bytes.
fn has_packed_dot(vendor: &str, architecture: &str) -> bool {
    match vendor {
        "nvidia" => !["fermi", "kepler", "maxwell"].contains(&architecture),
        "amd" => architecture.starts_with("rdna-") && architecture != "rdna-1",
        "intel" => architecture.starts_with("gen-12") || architecture.starts_with("xe"),
        _ => false,
    }
}

/// Tells a callback two numbers; whether it wants to go on. A callback that throws does not.
pub fn goes_on(callback: &Function, done: f64, total: f64) -> bool {
    let arguments = Array::of2(&done.into(), &total.into());
    callback
        .apply(&JsValue::NULL, &arguments)
        .is_ok_and(|answer| answer != JsValue::FALSE)
}

/// Waits for work, or until it is to stop.
async fn unless<T>(
    stopped: &Cell<bool>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending if stopped.get() => Poll::Ready(Err(Error::Stopped)),
        state => state,
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_products_are_for_gpus_that_have_them() {
        for (vendor, architecture) in [
            ("nvidia", "pascal"),
            ("nvidia", "lovelace"),
            ("amd", "rdna-3"),
            ("intel", "gen-12lp"),
            ("intel", "xe-2lpg"),
        ] {
            assert!(
                has_packed_dot(vendor, architecture),
                "{vendor} {architecture}"
            );
        }
        for (vendor, architecture) in [
            ("nvidia", "maxwell"),
            ("amd", "gcn-5"),
            ("amd", "rdna-1"),
            ("intel", "gen-11"),
            ("apple", "metal-3"),
            ("", ""),
        ] {
            assert!(
                !has_packed_dot(vendor, architecture),
                "{vendor} {architecture}"
            );
        }
    }
}
