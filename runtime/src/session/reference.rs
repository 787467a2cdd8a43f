//! Plans dispatch by dispatch, each held against its kernel's reference on the CPU: where an answer
//! is wrong, the first dispatch whose buffers differ is the one to look at.

use godwit_shaders::{Access, BufferRef, Contents, Dispatch, DispatchFixture, Plan, Step};
use pollster::block_on;

use super::Session;
use crate::executor::choose::RowChoice;
use crate::executor::{CHOOSE, Work};
use crate::gpu::{GpuError, Prepared};
use crate::low_level::Synthetic;
use crate::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions};

/// The largest normalised mean square error of a buffer: KV caches of few bits round either way.
const NMSE: f64 = 1e-4;

async fn words(session: &Session, part: BufferRef) -> Result<Vec<u32>, GpuError> {
    Ok(bytemuck::pod_collect_to_vec(
        &session.executor.buffers.memory().read(part).await?,
    ))
}

/// `sum (a - b)^2 / sum b^2` of what two buffers hold; integers differ or don't.
fn error(fixture: &DispatchFixture, contents: Contents, found: &[u32], expected: &[u32]) -> f64 {
    let numbers = |words: &[u32]| -> Vec<f64> {
        match contents {
            Contents::Floats => words
                .iter()
                .map(|&word| f32::from_bits(word).into())
                .collect(),
            Contents::Integers => words.iter().map(|&word| word.into()).collect(),
            Contents::Packed(unpack) => unpack(fixture, words),
        }
    };
    if matches!(contents, Contents::Integers) {
        return if found == expected {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let (found, expected) = (numbers(found), numbers(expected));
    let squares: f64 = expected.iter().map(|number| number * number).sum();
    let errors: f64 = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b) * (a - b))
        .sum();
    if errors.is_nan() {
        f64::INFINITY
    } else {
        errors / squares.max(f64::MIN_POSITIVE)
    }
}

/// Runs a plan on the GPU and the same plan by references, which see before each dispatch what the
/// GPU sees. Returns the first dispatch that leaves other buffers, and how they differ.
async fn first_difference(
    session: &Session,
    plan: &Plan,
    references: &Plan,
    step: Step,
) -> Result<Option<String>, GpuError> {
    let memory = session.executor.buffers.memory();
    for (i, (dispatch, reference)) in plan
        .dispatches
        .iter()
        .zip(&references.dispatches)
        .enumerate()
    {
        let mut buffers = Vec::new();
        for &part in &reference.buffers {
            buffers.push(words(session, part).await?);
        }
        let Dispatch {
            kernel,
            params,
            format,
            workgroups,
            ..
        } = reference.clone();
        let mut fixture = DispatchFixture {
            params,
            step,
            format,
            buffers,
            workgroups,
        };
        (kernel.reference)(&mut fixture);
        let mut single = Plan::default();
        single.push(dispatch.clone());
        let prepared = Prepared::new(
            session.engine().gpu(),
            memory,
            &single,
            session.executor.scratch.step,
        )
        .await?;
        prepared.submit(memory, step).await?;
        let written = kernel
            .bindings
            .iter()
            .enumerate()
            .filter(|(_, binding)| binding.access == Access::Write);
        for (at, binding) in written {
            let found = words(session, reference.buffers[at]).await?;
            let error = error(&fixture, binding.contents, &found, &fixture.buffers[at]);
            if error > NMSE {
                let (label, name) = (reference.label(), binding.name);
                return Ok(Some(format!(
                    "dispatch {i}, {label}: `{name}` has an error of {error:.1e}"
                )));
            }
        }
    }
    Ok(None)
}

fn session(kv: &str) -> Session {
    let shape = "tiny:q8_0,width=128,heads=2,kv_heads=1,ffn=128,vocab=300";
    let model = shape
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let adapter = std::env::var("GODWIT_ADAPTER").ok();
    let gpu = block_on(Gpu::open(&GpuOptions {
        adapter,
        ..GpuOptions::default()
    }));
    let gpu = gpu.expect("a GPU, or the software driver that tests/fetch.sh installs");
    let (context, kv) = (ContextSize::Tokens(256), kv.parse().expect("a type"));
    let options = EngineOptions {
        context,
        kv,
        segment_tokens: Some(64),
        ..EngineOptions::default()
    };
    let engine =
        block_on(Engine::load(gpu, &model, &options, &mut crate::unwatched)).expect("it loads");
    block_on(engine.session()).expect("a session")
}

/// The plans of a pass for several tokens, of a token behind them, and of a choice, with their
/// steps.
fn plans(session: &mut Session) -> Vec<(Plan, Step)> {
    let prompt: Vec<u32> = (0..100_u32).map(|i| i.wrapping_mul(i) % 293).collect();
    block_on(session.prefill(&prompt, &mut crate::unwatched)).expect("room");
    let many = block_on(session.reserve(80, 20)).expect("room");
    let one = block_on(session.reserve(100, 1)).expect("room");
    let how = RowChoice {
        greedy: true,
        ..RowChoice::default()
    };
    let works = [
        (Work::Transformer(many), Step::new(80, 20)),
        (Work::Logits, Step::new(0, 20)),
        (Work::Decode(one), Step::new(100, 1)),
        (Work::Choose { rows: 1, how }, CHOOSE),
    ];
    works
        .map(|(work, step)| (session.executor.record(work), step))
        .into()
}

#[test]
fn every_dispatch_leaves_what_its_reference_leaves() {
    for kv in ["f16", "q8_0"] {
        let mut session = session(kv);
        for (plan, step) in plans(&mut session) {
            let difference =
                block_on(first_difference(&session, &plan, &plan, step)).expect("it runs");
            assert_eq!(difference, None, "{kv}, {step:?}");
        }
    }
}

#[test]
fn a_dispatch_that_differs_is_named() {
    let mut session = session("f16");
    let (plan, step) = plans(&mut session).swap_remove(0);
    let at = plan
        .dispatches
        .iter()
        .rposition(|dispatch| dispatch.kernel.name == "matmul")
        .expect("a product");
    let mut wrong = plan.clone();
    // It reads other activations than it should: those before the feed-forward network's gate.
    let read = &mut wrong.dispatches[at].buffers[1..3];
    let other = BufferRef {
        bytes: read[0].bytes,
        ..session.executor.scratch.h
    };
    read.fill(other);
    let found = block_on(first_difference(&session, &wrong, &plan, step)).expect("it runs");
    assert!(
        found
            .as_ref()
            .is_some_and(|found| found.starts_with(&format!("dispatch {at}, matmul"))),
        "{found:?}"
    );
}
