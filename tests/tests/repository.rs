//! Hugging Face repositories against the reference and `transformers`
//! (`tests/golden/repositories.py`), and against the GGUF file that they were exported from.

use std::collections::BTreeMap;

use godwit::low_level::Examination;
use godwit::{EngineOptions, Message, Model, RopeOverride, Sampling, WeightFormat};
use godwit_tests::compare::compare;
use godwit_tests::model::{engine, fixture, session, smollm2};
use godwit_tests::repository::export;
use pollster::block_on;

const VOCAB: usize = 96;

fn logits(model: &Model, ids: &[u32]) -> Vec<f64> {
    let mut session = session(&engine(model, &EngineOptions::default(), false));
    let mut found = Vec::new();
    block_on(session.score(ids, &mut |_, logits| {
        found.extend(logits.iter().map(|&l| f64::from(l)))
    }))
    .expect("it scores");
    found
}

/// Keys and values are f16: about 1e-7 of their square.
const HALVES: f64 = 1e-6;

fn check(name: &str, bound: f64) -> (Model, Vec<f64>) {
    let model =
        Model::open(&fixture(&format!("target/golden/repositories/{name}"))).expect("it opens");
    let golden = std::fs::read(fixture(&format!("target/golden/repositories/{name}.f32")))
        .expect("readable logits");
    let golden: Vec<f64> = bytemuck::pod_collect_to_vec::<u8, f32>(&golden)
        .into_iter()
        .map(f64::from)
        .collect();
    let ids: Vec<u32> = (0..90)
        .map(|i| (7 * i * i + 3 * i + 1) % VOCAB as u32)
        .collect();
    let found = logits(&model, &ids);
    compare(&found, &golden, bound).expect("the reference's logits");
    assert_eq!(model.tokenizer().ends(), [5, 95]);
    assert_eq!(
        model.sampling(),
        Sampling::default().temperature(0.7).top_p(0.8)
    );
    let rendered = model
        .chat()
        .and_then(|chat| chat.render(&[Message::user("ab")], false));
    assert_eq!(rendered.as_deref(), Ok("ab<|stop|>"));
    let seen = Examination::of(model.checkpoint(), &RopeOverride::default());
    assert_eq!((seen.notes, seen.unused_keys), (Vec::new(), Vec::new()));
    (model, found)
}

/// The same, and against `transformers`.
fn check_both(name: &str) {
    let (_, found) = check(name, HALVES);
    let text = std::fs::read_to_string(fixture("tests/golden/transformers.json"))
        .expect("a readable file");
    let positions: BTreeMap<String, BTreeMap<usize, Vec<f64>>> =
        serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(positions[name].len(), 4);
    for (at, golden) in &positions[name] {
        compare(&found[at * VOCAB..][..VOCAB], golden, 2e-6).expect("transformers' logits");
    }
}

/// Matrices of GPTQ and AWQ, against the reference with what they stand for: groups of 128 and 32,
/// with and without act-order.
#[test]
fn packed_matrices() {
    for (name, format) in [
        ("gptq", WeightFormat::Q4_1),
        ("gptq_act", WeightFormat::F16),
        ("awq", WeightFormat::Q4_1),
    ] {
        // Offsets of groups, or all weights, are rounded to f16: 3e-4 of a weight, alike in a
        // whole group.
        let (model, _) = check(name, 4.0 * HALVES);
        assert_eq!(
            model
                .checkpoint()
                .tensor("blk.0.attn_q.weight")
                .map(|tensor| tensor.format),
            Some(format)
        );
    }
}

/// Biases of all projections, of some that `config.json` does not mention, and of zeros that it
/// denies; those of queries and keys in transformers' order.
#[test]
fn biases_are_added() {
    for (name, bias) in [
        ("biased", true),
        ("unsaid_biases", true),
        ("zero_biases", false),
    ] {
        let (model, _) = check(name, HALVES);
        assert_eq!(
            model.checkpoint().tensor("blk.0.attn_q.bias").is_some(),
            bias,
            "{name}"
        );
    }
}

macro_rules! repositories {
    ($($name:ident),*) => { $(#[test] fn $name() { check_both(stringify!($name)); })* };
}

repositories!(untied, tied, plain, linear, yarn);

#[test]
fn an_exported_model_gives_the_same_logits() {
    let original = smollm2();
    let messages = [Message::user(
        "Where do bar-tailed godwits fly, and how far is it?",
    )];
    let prompt = |model: &Model| {
        model
            .chat()
            .and_then(|chat| chat.encode(model.tokenizer(), &messages, true))
            .expect("a prompt")
    };
    let ids = prompt(&original);
    let expected = logits(&original, &ids);
    for (format, shards, bound) in [(WeightFormat::F32, 3, 1e-6), (WeightFormat::BF16, 1, 5e-4)] {
        let folder = tempfile::tempdir().expect("a folder");
        export(&original, folder.path(), format, shards);
        let model = Model::open(folder.path()).expect("it opens");
        assert_eq!(prompt(&model), ids);
        assert_eq!(model.tokenizer().ends(), original.tokenizer().ends());
        // BF16 rounds the weights, F32 does not.
        compare(&logits(&model, &ids), &expected, bound).expect("the same logits");
        // One of its files stands for the folder.
        assert_eq!(
            Model::open(&folder.path().join("config.json"))
                .expect("it opens")
                .name(),
            model.name()
        );
    }
}
