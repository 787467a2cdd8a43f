//! A device that is lost at every step of a reply: each operation that needs it ends with an error
//! that says so, and none panics or waits for ever. The tokens that the session has stay readable.

use std::time::Duration;

use godwit::GenerateOptions;
use godwit::low_level::Synthetic;
use godwit::{
    Engine, EngineOptions, Error, Gpu, GpuError, GpuOptions, Sampling, Session, unwatched,
};
use godwit_shaders::capabilities::Tuning;
use pollster::block_on;

/// Tokens of the reply.
const REPLY: usize = 6;

/// An engine of its own device, which has so many decode steps in flight.
fn engine(steps_in_flight: u32) -> Engine {
    let shape: Synthetic = "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let options = GpuOptions::default()
        .adapter(std::env::var("GODWIT_ADAPTER").ok())
        .tuning(Some(Tuning {
            prefill_chunk: 32,
            workgroups: 1,
            steps_in_flight,
            gemv: None,
            few_rows: None,
            few_rows_up_to: 8,
            gemm: None,
        }))
        .in_flight_budget(Some(Duration::from_secs(60)));
    let gpu = block_on(Gpu::open(&options))
        .expect("a GPU, or the software driver that tests/fetch.sh installs");
    let options = EngineOptions::default();
    block_on(Engine::load(gpu, &model, &options, &mut unwatched)).expect("it loads")
}

fn is_lost<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    let is_lost = matches!(result, Err(Error::Gpu(GpuError::Lost { .. })));
    assert!(is_lost, "{what} gave {result:?}");
    let says = result.err().map(|error| error.to_string());
    assert!(says.is_some_and(|says| says.contains("load the model again")));
}

/// Takes tokens until the device's loss is seen. Those that were chosen before it may come first.
fn next_until_lost(session: &mut Session) -> Error {
    for _ in 0..=REPLY {
        if let Err(error) = block_on(session.next(&Sampling::greedy())) {
            return error;
        }
    }
    Error::Empty
}

/// Every operation on a session whose device is gone.
fn all_fail(session: &mut Session, snapshot: &[u8]) {
    let error = next_until_lost(session);
    is_lost("next", Err::<(), _>(error));
    let held = session.tokens().to_vec();
    is_lost(
        "prefill",
        block_on(session.prefill(&[1, 2, 3], &mut unwatched)),
    );
    is_lost(
        "a pass of many",
        block_on(session.prefill(&[5; 70], &mut unwatched)),
    );
    is_lost("logits", block_on(session.logits()));
    is_lost("score", block_on(session.score(&[1, 2], &mut |_, _| ())));
    let mut generation = session.generate(GenerateOptions::default()).expect("valid");
    is_lost("a reply", block_on(generation.next()));
    let (end, mut file) = (session.tokens().len(), Vec::new());
    if end > 0 {
        let null = serde_json::Value::Null;
        is_lost(
            "save",
            block_on(session.save(&mut file, 0..end, null, &mut unwatched)),
        );
    }
    is_lost(
        "a new session",
        block_on(session.engine().session()).map(drop),
    );
    is_lost("compiling", block_on(session.engine().compile()));
    // What is on the host is still there.
    assert!(
        session
            .tokens()
            .starts_with(&held[..held.len().min(session.tokens().len())])
    );
    session.truncate(0);
    is_lost(
        "resume",
        block_on(session.resume(&mut &*snapshot, None, &mut unwatched)).map(drop),
    );
}

#[test]
fn a_lost_device_ends_every_step_of_a_reply_with_an_error() {
    let prompt: Vec<u32> = (0..70_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    for steps_in_flight in [1, 4] {
        let whole = engine(steps_in_flight);
        let mut session = block_on(whole.session()).expect("a session");
        block_on(session.prefill(&prompt, &mut unwatched)).expect("it fits");
        let mut snapshot = Vec::new();
        let null = serde_json::Value::Null;
        block_on(session.save(&mut snapshot, 0..prompt.len(), null, &mut unwatched))
            .expect("it is saved");
        // Before the prompt, in its middle, after it, and after each token of the reply.
        for moment in 0..=REPLY + 2 {
            let engine = engine(steps_in_flight);
            let mut session = block_on(engine.session()).expect("a session");
            let read = [0, 40, prompt.len()][moment.min(2)];
            block_on(session.prefill(&prompt[..read], &mut unwatched)).expect("it fits");
            for _ in 2..moment {
                block_on(session.next(&Sampling::greedy())).expect("a token");
            }
            engine.gpu().device().destroy();
            if read > 0 {
                all_fail(&mut session, &snapshot);
            } else {
                is_lost(
                    "prefill",
                    block_on(session.prefill(&prompt, &mut unwatched)),
                );
            }
        }
        // Another device is not affected.
        block_on(session.next(&Sampling::greedy())).expect("a token");
    }
}
