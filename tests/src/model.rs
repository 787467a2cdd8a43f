//! The test model, and engines on it.

use std::path::{Path, PathBuf};

use godwit::{Engine, EngineOptions, Gpu, GpuOptions, Model, Session};

/// A file below the repository's root.
///
/// # Panics
/// It is not there; says how to get it.
pub fn fixture(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    assert!(
        path.exists(),
        "{} is missing; run tests/fetch.sh --tests",
        path.display()
    );
    path
}

/// SmolLM2-135M-Instruct.
///
/// # Panics
/// It does not open.
pub fn smollm2() -> Model {
    Model::open(&fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf")).expect("the test model opens")
}

/// The GPU that tests run on: `GODWIT_ADAPTER` picks one.
///
/// # Panics
/// There is none.
pub fn gpu(webgpu_limits: bool) -> Gpu {
    let options = GpuOptions::default()
        .adapter(std::env::var("GODWIT_ADAPTER").ok())
        .webgpu_limits(webgpu_limits);
    pollster::block_on(Gpu::open(&options))
        .expect("a GPU, or the software driver that tests/fetch.sh installs")
}

/// A session.
///
/// # Panics
/// The GPU has no memory for it.
pub fn session(engine: &Engine) -> Session {
    pollster::block_on(engine.session()).expect("a session")
}

/// A model on that GPU.
///
/// # Panics
/// It does not load.
pub fn engine(model: &Model, options: &EngineOptions, webgpu_limits: bool) -> Engine {
    pollster::block_on(Engine::load(
        gpu(webgpu_limits),
        model,
        options,
        &mut godwit::unwatched,
    ))
    .expect("the model loads")
}
