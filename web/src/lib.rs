//! Godwit in the browser: the runtime over WebGPU, for use in a worker.
//!
//! `web/js` wraps this crate for pages. Files are read synchronously, which only workers can do. A
//! call that waits for the GPU returns a promise. Errors are JavaScript errors whose `name` is a
//! class of `web/js/errors.ts`.

#[cfg(any(test, target_arch = "wasm32"))]
mod numbers;
#[cfg(any(test, target_arch = "wasm32"))]
mod packed_dot;

#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod hash;
#[cfg(target_arch = "wasm32")]
mod listener;
#[cfg(target_arch = "wasm32")]
mod model;
#[cfg(target_arch = "wasm32")]
mod replies;
#[cfg(target_arch = "wasm32")]
mod reply;
#[cfg(target_arch = "wasm32")]
mod source;

/// Writes the messages of panics to the console and to the global `godwitPanic`. `web/js/worker.ts`
/// reads them there, because the trap that follows a panic has no message.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    use wasm_bindgen::prelude::*;
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = console, js_name = error)]
        fn console_error(text: &str);
    }
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        console_error(&text);
        // If the global can't be set, the console still has the message.
        let _ = js_sys::Reflect::set(&js_sys::global(), &"godwitPanic".into(), &text.into());
    }));
}
