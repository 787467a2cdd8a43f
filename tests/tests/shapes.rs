//! Small random models of every shape that Godwit claims, against the reference
//! (`tests/golden/shapes.py`): query heads for each KV head, head dimensions, tied and untied
//! heads, RoPE scalings.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use godwit::low_level::checkpoint::Checkpoint;
use godwit::low_level::gguf::{FormatError, Metadata, Tensor};
use godwit::tokenizer::{Tokenizer, TokenizerError};
use godwit::{Engine, EngineOptions, MemoryUse, Model};
use godwit_tests::compare::compare;
use godwit_tests::model::{engine, fixture};
use godwit_tests::safetensors::{Folder, Shape};
use pollster::block_on;
use safetensors::tensor::Dtype;

const VOCAB: usize = 96;

fn check(name: &str) {
    check_file(name, &format!("{name}.gguf"));
}

fn check_file(name: &str, file: &str) {
    let model = Model::open(&fixture(&format!("target/golden/shapes/{file}"))).expect("it opens");
    let golden = std::fs::read(fixture(&format!("target/golden/shapes/{name}.f32")))
        .expect("readable logits");
    let golden: Vec<f32> = bytemuck::pod_collect_to_vec(&golden);
    let ids: Vec<u32> = (0..90)
        .map(|i| (7 * i * i + 3 * i + 1) % VOCAB as u32)
        .collect();
    assert_eq!(golden.len(), ids.len() * VOCAB);
    // Several passes and segments; positions up to 90.
    let options = EngineOptions::default().segment_tokens(Some(64));
    let mut session = block_on(engine(&model, &options, true).session()).expect("a session");
    let mut found = Vec::new();
    block_on(session.score(&ids, &mut |_, logits| found.extend_from_slice(logits)))
        .expect("it scores");
    let wide = |floats: &[f32]| floats.iter().map(|&f| f64::from(f)).collect::<Vec<_>>();
    // Keys and values are f16: about 1e-7 of their square.
    compare(&wide(&found), &wide(&golden), 1e-6).expect(name);

    // One by one, as decode does it, the last logits are the same within that bound.
    session.truncate(0);
    let mut last = Vec::new();
    for id in &ids[..70] {
        block_on(session.prefill(&[*id], &mut godwit::unwatched)).expect("a token");
        last = block_on(session.logits()).expect("logits");
    }
    compare(&wide(&last), &wide(&golden[69 * VOCAB..70 * VOCAB]), 1e-6).expect(name);
}

macro_rules! shapes {
    ($($name:ident),*) => { $(#[test] fn $name() { check(stringify!($name)); })* };
}

shapes!(
    llama2, llama3, llama3_1, linear, yarn, long, biased, qkv_biased, up_biased
);

/// A checkpoint that remembers which tensors were read.
struct Watched {
    inner: Arc<dyn Checkpoint>,
    read: Mutex<BTreeSet<String>>,
}

impl Checkpoint for Watched {
    fn kind(&self) -> String {
        self.inner.kind()
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn tensors(&self) -> &[Tensor] {
        self.inner.tensors()
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.inner.tensor(name)
    }

    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        self.read
            .lock()
            .expect("no reader panics")
            .insert(tensor.name.clone());
        self.inner.data(tensor, range)
    }

    fn files(&self) -> Vec<&str> {
        self.inner.files()
    }

    fn file_bytes(&self) -> u64 {
        self.inner.file_bytes()
    }

    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        self.inner.tokenizer()
    }
}

/// Loads a model, and checks that all of its tensors were read. Returns their names too.
fn check_all_are_read(path: &Path) -> (Model, Engine, BTreeSet<String>) {
    let inner = godwit::low_level::checkpoint::open_checkpoint(path).expect("it opens");
    let watched = Arc::new(Watched {
        inner,
        read: Mutex::default(),
    });
    let model = Model::from_checkpoint(watched.clone()).expect("it opens");
    let engine = engine(&model, &EngineOptions::default(), true);
    let all: BTreeSet<String> = watched
        .tensors()
        .iter()
        .map(|tensor| tensor.name.clone())
        .collect();
    assert_eq!(
        *watched.read.lock().expect("no reader panics"),
        all,
        "{}",
        path.display()
    );
    (model, engine, all)
}

/// The same of repositories, with biases and without.
#[test]
fn no_tensor_of_a_repository_is_left_unread() {
    const SHAPE: Shape = Shape {
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        ffn: 96,
        vocab: 300,
        tied: false,
    };
    for (shape, biases) in [
        (SHAPE, false),
        (SHAPE, true),
        (
            Shape {
                tied: true,
                ..SHAPE
            },
            false,
        ),
    ] {
        let mut repository = Folder::llama(shape, Dtype::BF16, 1);
        if biases {
            repository = repository.with_biases(2);
        }
        repository.shards = 3;
        let folder = tempfile::tempdir().expect("a folder");
        repository.write(folder.path()).expect("it is written");
        let (_, _, all) = check_all_are_read(folder.path());
        assert_eq!(all.len(), repository.weights.len());
    }
}

/// A model that opens is read to its last tensor, and takes the memory that was estimated.
#[test]
fn no_tensor_is_left_unread() {
    for name in ["llama2", "llama3_1", "biased", "qkv_biased", "up_biased"] {
        let path = fixture(&format!("target/golden/shapes/{name}.gguf"));
        let (model, engine, all) = check_all_are_read(&path);
        let session = block_on(engine.session()).expect("a session");
        let caps = engine.gpu().caps();
        let estimate = MemoryUse::estimate(&model, 128, engine.kv_format(), caps);
        let factors = u64::from(all.contains("rope_freqs.weight"))
            * 4
            * u64::from(model.config().rotary_dim / 2);
        // Biases that are missing beside others are zeros on the GPU.
        let zeros = if name == "qkv_biased" {
            2 * 4 * 2 * 64
        } else if name == "up_biased" {
            2 * 4 * 320
        } else {
            0
        };
        assert_eq!(
            estimate.weights - factors + zeros,
            engine.memory().weights,
            "{name}"
        );
        assert_eq!(estimate.scratch, session.memory().scratch, "{name}");
    }
}

#[test]
fn parts_are_one_model() {
    check_file("llama3_1", "llama3_1-00001-of-00003.gguf");
    // Any part names all of them.
    let last = Model::open(&fixture(
        "target/golden/shapes/llama3_1-00003-of-00003.gguf",
    ))
    .expect("it opens");
    assert_eq!(last.checkpoint().files().len(), 3);
}
