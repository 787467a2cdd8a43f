//! What must not change the answer: segments, saving and resuming, prompts read from disk, and a KV
//! cache that left the GPU.

mod growth;
mod passes;
mod saved;

use std::ops::ControlFlow;

use godwit::errors::SnapshotError;
use godwit::low_level::Tuning;
use godwit::quantize::InputSquares;
use godwit::tokenizer::Special;
use godwit::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuOptions, KvFormat, MemoryUse, Model,
    PrefixCache, Progress, Sampling, Session, Spilling,
};
use godwit_shaders::MatmulMethod;
use godwit_tests::model::{engine, gpu, session, smollm2};
use pollster::block_on;

use growth::close;

fn continued(session: &mut Session, count: usize) -> Vec<u32> {
    (0..count)
        .map(|_| block_on(session.next(&Sampling::greedy())).expect("a token"))
        .collect()
}

/// The same, where each choice is a clear one: a token alone and one in a pass go through different
/// kernels, whose logits differ by up to a hundredth.
fn clearly_continued(session: &mut Session, count: usize) -> Vec<u32> {
    let clear = |session: &mut Session| {
        let mut logits = block_on(session.logits()).expect("logits");
        logits.sort_by(|a, b| b.total_cmp(a));
        assert!(
            logits[0] - logits[1] > 0.05,
            "{} or {}: choose another text",
            logits[0],
            logits[1]
        );
    };
    (0..count)
        .flat_map(|_| {
            clear(session);
            continued(session, 1)
        })
        .collect()
}

fn text(model: &Model, count: usize) -> Vec<u32> {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/golden/perplexity.txt"
    ))
    .expect("a text");
    let mut ids = model
        .tokenizer()
        .encode(&text[..6 * count], Special::Text)
        .expect("ids");
    ids.truncate(count);
    ids
}

fn saved(session: &Session) -> Vec<u8> {
    let mut file = Vec::new();
    let note = serde_json::json!({"what": "a test"});
    block_on(session.save(
        &mut file,
        0..session.tokens().len(),
        note,
        &mut godwit::unwatched,
    ))
    .expect("it is saved");
    file
}

/// A GPU with room for the model and for this much KV cache.
fn small_gpu(engine: &Engine, kv: u64, webgpu_limits: bool) -> Gpu {
    let memory = session(engine).memory();
    let options = GpuOptions::default()
        .adapter(std::env::var("GODWIT_ADAPTER").ok())
        .memory(Some(memory.weights + memory.scratch + kv))
        .webgpu_limits(webgpu_limits);
    block_on(Gpu::open(&options)).expect("a GPU")
}

/// A small model, a prompt for it, and how it is loaded with its KV cache in this type.
fn tiny(kv: &str) -> (Model, Vec<u32>, EngineOptions) {
    let model = "tiny:q8_0,vocab=512"
        .parse::<godwit::low_level::Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let prompt = (0..2100_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let (context, kv) = (ContextSize::Tokens(4096), kv.parse().expect("a type"));
    (
        model,
        prompt,
        EngineOptions::default().context(context).kv(kv),
    )
}
