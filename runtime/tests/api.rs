//! What an embedding program relies on, seen from outside.

use godwit::{Engine, EngineOptions, Gpu, GpuOptions, Model, Sampling, Session, unwatched};

fn is_send<T: Send>(_: &T) {}

/// Compiles only if all futures can move between threads.
#[expect(dead_code, reason = "its types are checked, it does not run")]
fn futures_are_send(gpu: Gpu, model: &Model, engine: &Engine, session: &mut Session) {
    is_send(&Gpu::open(&GpuOptions::default()));
    is_send(&Engine::load(
        gpu,
        model,
        &EngineOptions::default(),
        &mut unwatched,
    ));
    is_send(&engine.session());
    is_send(&engine.compile());
    is_send(&session.prefill(&[], &mut unwatched));
    is_send(&session.next(&Sampling::default()));
    is_send(&session.logits());
    is_send(&session.save(
        &mut Vec::new(),
        0..1,
        serde_json::Value::Null,
        &mut unwatched,
    ));
    is_send(&session.resume(&mut std::io::empty(), None, &mut unwatched));
}
