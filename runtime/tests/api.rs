//! What an embedding program relies on, seen from outside.

use std::path::Path;

use godwit::quantize::{InputSquares, Mix, Recipe, WeightsCache};
use godwit::scheduler::{Budget, Scheduler, SchedulerOptions};
use godwit::{
    Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Model, PrefixCache, Sampling, Session,
    unwatched,
};

fn is_send<T: Send>(_: &T) {}

/// Compiles only if the futures of all long operations can move between threads.
#[expect(dead_code, reason = "its types are checked, it does not run")]
fn futures_are_send(
    mut gpu: Gpu,
    model: &Model,
    engine: &Engine,
    session: &mut Session,
    cache: &PrefixCache,
    weights: WeightsCache,
    scheduler: &mut Scheduler,
) {
    is_send(&gpu.tune(Path::new(""), &mut unwatched));
    is_send(&model.quantized(&Recipe::from(Mix::Q8_0), weights, &mut unwatched));
    is_send(&cache.prefill(session, &[], &mut unwatched));
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
    is_send(&session.prefill_to(&[], &mut unwatched));
    is_send(&session.shift(0, &mut unwatched));
    is_send(&session.calibrate(&[], &mut InputSquares::default()));
    is_send(&session.fill_with_noise(0));
    is_send(&session.score(&[], &mut |_, _| ()));
    is_send(&Scheduler::new(engine, &SchedulerOptions::default()));
    is_send(&Scheduler::with_draft(
        engine,
        engine,
        &SchedulerOptions::default(),
    ));
    is_send(&scheduler.step(Budget::default()));
    is_send(&scheduler.wait());
    if let Ok(mut generation) = session.generate(GenerateOptions::default()) {
        is_send(&generation);
        is_send(&generation.next());
        is_send(&generation.next_watched(&mut unwatched));
    }
}

/// What an embedding program keeps or moves between threads.
#[test]
fn handles_move_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Model>();
    is_send_and_sync::<Gpu>();
    is_send_and_sync::<Engine>();
    is_send_and_sync::<Session>();
    is_send_and_sync::<Scheduler>();
    is_send_and_sync::<godwit::Error>();
}
