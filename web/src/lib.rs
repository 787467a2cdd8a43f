//! Godwit in the browser: the same core over WebGPU, for a worker of its own.
//!
//! `web/js` wraps what is here for pages. Files are read at once, which only workers can;
//! everything that waits for the GPU is a promise. Errors are JavaScript errors whose `name` is a
//! class of `web/js/errors.ts`.

#[cfg(any(test, target_arch = "wasm32"))]
mod numbers;
mod stops;

#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod hash;
#[cfg(target_arch = "wasm32")]
mod model;
#[cfg(target_arch = "wasm32")]
mod reply;
#[cfg(target_arch = "wasm32")]
mod source;

pub use stops::Stops;

/// Messages of panics go to the console, and to `godwitPanic`, where `web/js/worker.ts` finds them:
/// the trap that follows says nothing of its cause.
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
        // Where it can't be set, the console has it.
        let _ = js_sys::Reflect::set(&js_sys::global(), &"godwitPanic".into(), &text.into());
    }));
}
