//! Memory that is refused: every allocation of a reply, one after the other.

use pollster::block_on;

use crate::low_level::Synthetic;
use crate::quantize::InputSquares;
use crate::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, Sampling, Session, Spilling,
};

const PROMPT: usize = 60;

fn gpu() -> Gpu {
    let options = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    block_on(Gpu::open(&options))
        .expect("a GPU, or the software driver that tests/fetch.sh installs")
}

/// A model so small that a reply takes milliseconds. A segment of its cache is full after a few
/// tokens of a reply.
async fn load(gpu: &Gpu, spill: Spilling) -> Result<Engine, Error> {
    let shape = "tiny:q8_0,layers=1,width=64,heads=2,kv_heads=1,head_dim=32,ffn=64,vocab=300";
    let model = shape.parse::<Synthetic>().expect("a shape").model()?;
    let (context, segment_tokens) = (ContextSize::Tokens(256), Some(64));
    let options = EngineOptions {
        context,
        segment_tokens,
        spill,
        ..EngineOptions::default()
    };
    Engine::load(gpu.clone(), &model, &options, &mut crate::unwatched).await
}

/// Does something until no memory is refused any more; at most once it may be.
async fn retried<T>(refused: &mut u32, mut once: impl AsyncFnMut() -> Result<T, Error>) -> T {
    loop {
        match once().await {
            Err(Error::Gpu(error)) if error.is_out_of_memory() => {
                let text = error.to_string();
                assert!(
                    text.starts_with("the GPU has no memory left for ") && text.contains("try "),
                    "{text}"
                );
                *refused += 1;
                assert_eq!(*refused, 1, "{text}");
            }
            other => return other.expect("nothing but memory is refused"),
        }
    }
}

/// Everything that sessions of an engine do, each step again where memory was refused: what came of
/// it.
async fn replies(engine: &Engine, refused: &mut u32) -> (Vec<u32>, Vec<f32>) {
    let prompt: Vec<u32> = (0..PROMPT as u32)
        .map(|i| i.wrapping_mul(i) % 251)
        .collect();
    let (greedy, seeded) = (
        Sampling::greedy(),
        Sampling {
            seed: 7,
            repetition_penalty: 1.2,
            ..Sampling::default()
        },
    );
    let mut session = retried(refused, async || engine.session().await).await;
    let prefill = async |session: &mut Session, end: usize| {
        let at = session.tokens().len().min(end);
        session
            .prefill(&prompt[at..end], &mut crate::unwatched)
            .await
    };
    retried(refused, async || prefill(&mut session, PROMPT).await).await;
    for i in 0..10 {
        let sampling = if i < 6 { &greedy } else { &seeded };
        retried(refused, async || session.next(sampling).await).await;
    }
    let mut ids = session.tokens().to_vec();
    // The second turn, from the middle of the first.
    session.truncate(PROMPT / 2);
    retried(refused, async || prefill(&mut session, PROMPT).await).await;
    let mut floats = retried(refused, async || session.logits().await).await;
    assert_eq!(session.tokens(), prompt);
    // Logits that are gone: the last token is computed again.
    session.truncate(PROMPT - 5);
    floats.extend(retried(refused, async || session.logits().await).await);
    assert_eq!(session.tokens(), &prompt[..PROMPT - 5]);
    retried(refused, async || prefill(&mut session, PROMPT).await).await;
    let mut file = Vec::new();
    retried(refused, async || {
        file.clear();
        session
            .save(
                &mut file,
                0..PROMPT,
                serde_json::Value::Null,
                &mut crate::unwatched,
            )
            .await
    })
    .await;
    session.truncate(0);
    retried(refused, async || {
        session
            .resume(&mut file.as_slice(), None, &mut crate::unwatched)
            .await
    })
    .await;
    ids.push(retried(refused, async || session.next(&greedy).await).await);
    let mut scores = Vec::new();
    retried(refused, async || {
        scores.clear();
        session.truncate(0);
        session
            .score(&prompt[..9], &mut |_, logits| {
                scores.extend_from_slice(logits)
            })
            .await
    })
    .await;
    floats.append(&mut scores);
    let mut squares = InputSquares::default();
    retried(refused, async || {
        session.calibrate(&prompt, &mut squares).await
    })
    .await;
    floats.extend(
        squares
            .sums()
            .flat_map(|(_, sums)| sums)
            .map(|&sum| sum as f32),
    );
    (ids, floats)
}

#[test]
fn every_allocation_of_a_reply_may_be_refused() {
    let gpu = gpu();
    for spill in [Spilling::Never, Spilling::Host { memory: 1 << 20 }] {
        let engine = block_on(load(&gpu, spill)).expect("it loads");
        let expected = block_on(replies(&engine, &mut 0));
        // Another session, in the middle of its reply.
        let mut other = block_on(engine.session()).expect("a session");
        let prompt = &expected.0[..PROMPT - 20];
        block_on(other.prefill(prompt, &mut crate::unwatched)).expect("room");
        let mut reply = || block_on(other.next(&Sampling::greedy())).expect("a token");
        let first = reply();
        let mut fresh = block_on(engine.session()).expect("a session");
        block_on(fresh.prefill(prompt, &mut crate::unwatched)).expect("room");
        let mut fresh = || block_on(fresh.next(&Sampling::greedy())).expect("a token");
        assert_eq!(fresh(), first);
        let mut nth = 1;
        loop {
            let mut refused = 0;
            gpu.refuse_allocation(nth);
            let found = block_on(replies(&engine, &mut refused));
            if gpu.refuse_allocation(0) {
                assert_eq!(refused, 0);
                break;
            }
            assert_eq!(found.0, expected.0, "allocation {nth} was refused");
            // A token that is computed again alone has other rounding errors than one of many.
            assert_eq!(found.1.len(), expected.1.len());
            let largest = expected
                .1
                .iter()
                .fold(0.0_f32, |largest, float| largest.max(float.abs()));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3 * largest;
            assert!(
                found.1.iter().zip(&expected.1).all(close),
                "allocation {nth} was refused"
            );
            if nth <= 100 {
                assert_eq!(reply(), fresh(), "allocation {nth} was refused");
            }
            nth += 1;
        }
        assert!(nth > 50, "{nth} allocations");
    }
}

#[test]
fn every_allocation_of_loading_may_be_refused() {
    // A device for all: what compiled once is not compiled again, so that later refusals hit later
    // kernels.
    let gpu = gpu();
    for nth in 1.. {
        gpu.refuse_allocation(nth);
        let mut refused = 0;
        let engine = block_on(retried(&mut refused, async || {
            load(&gpu, Spilling::Never).await
        }));
        let mut session = block_on(retried(&mut refused, async || engine.session().await));
        let token = async |session: &mut Session| {
            session.truncate(0);
            session.prefill(&[1, 2, 3], &mut crate::unwatched).await?;
            session.next(&Sampling::greedy()).await
        };
        block_on(retried(&mut refused, async || token(&mut session).await));
        if gpu.refuse_allocation(0) {
            assert!(nth > 30, "{nth} allocations");
            break;
        }
        assert_eq!(refused, 1, "allocation {nth} was refused");
    }
    assert_eq!(gpu.memory_used(), 0);
}
