//! Whole models quantised: to files that other tools read, and at load, kept on disk.

mod cache;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use godwit::Bytes;
use godwit::low_level::gguf::{FormatError, GgufWriter};
use godwit::quantize::{Importance, Mix, Quantized, Recipe, WeightsCache, write_gguf};
use godwit::{EngineOptions, Error, Model, Progress, WeightFormat};
use godwit_tests::compare::compare;
use godwit_tests::model::{engine, fixture, session};
use godwit_tests::repository::{Files, safetensors, tiny_tensors};
use pollster::block_on;
use serde_json::Value;

fn repository(name: &str) -> Model {
    Model::open(&fixture(&format!("target/golden/repositories/{name}"))).expect("it opens")
}

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn logits(model: &Model) -> Vec<f64> {
    let ids: Vec<u32> = (0..90).map(|i| (7 * i * i + 3 * i + 1) % 96).collect();
    let mut session = session(&engine(model, &EngineOptions::default(), false));
    let mut found = Vec::new();
    block_on(session.score(&ids, &mut |_, logits| {
        found.extend(logits.iter().map(|&l| f64::from(l)))
    }))
    .expect("it scores");
    found
}

fn write(model: &Model, recipe: &Recipe, path: &Path) -> Result<(), Error> {
    let mut file = std::fs::File::create(path).expect("a file");
    write_gguf(
        &Quantized::new(model.shared_checkpoint(), recipe),
        recipe.mix,
        &mut file,
        &mut godwit::unwatched,
    )
}

/// All weights of a tensor.
fn weights(model: &Model, name: &str) -> Vec<f32> {
    let tensor = model.checkpoint().tensor(name).expect("a tensor");
    let mut weights = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
    let data = model
        .checkpoint()
        .data(tensor, 0..tensor.bytes)
        .expect("its data");
    tensor.format.dequantize(&data, &mut weights);
    weights
}

#[test]
fn repositories_become_gguf_files() {
    let folder = tempfile::tempdir().expect("a folder");
    // A name, what it is quantised to, and how far the logits may move.
    for (name, mix, bound) in [
        ("untied", Mix::F32, 1e-9),
        ("yarn", Mix::F32, 1e-9),
        ("tied", Mix::Q8_0, 1e-3),
    ] {
        let (original, path) = (repository(name), folder.path().join(format!("{name}.gguf")));
        write(&original, &mix.into(), &path).expect("it is written");
        let file = Model::open(&path).expect("it opens");
        compare(&logits(&file), &logits(&original), bound).expect(name);
        assert_eq!(file.tokenizer().ends(), original.tokenizer().ends());
        assert_eq!(file.sampling(), original.sampling());
        assert_eq!(file.config().context, original.config().context);
        let messages = [godwit::Message::user("ab a")];
        let ids = |model: &Model| {
            model
                .chat()
                .and_then(|chat| chat.encode(model.tokenizer(), &messages, true))
        };
        assert_eq!(ids(&file), ids(&original));
    }
}

/// The `gguf` package sees the types, shapes and weights that Godwit does.
#[test]
fn the_gguf_package_reads_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    for mix in [
        Mix::Q4_K_M,
        Mix::Q2_K,
        Mix::Q3_K_M,
        Mix::Q5_K_S,
        Mix::Q6_K,
        Mix::Q5_1,
        Mix::BF16,
    ] {
        let path = folder.path().join("model.gguf");
        write(&repository("untied"), &mix.into(), &path).expect("it is written");
        let python = fixture(".venv/bin/python");
        let output = Command::new(python)
            .arg(fixture("tests/golden/read_gguf.py"))
            .arg(&path)
            .output()
            .expect("python");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let theirs: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
        let ours = Model::open(&path).expect("it opens");
        assert_eq!(theirs["file_type"], mix.file_type());
        assert_eq!(
            theirs["tensors"].as_object().map(serde_json::Map::len),
            Some(ours.checkpoint().tensors().len())
        );
        for tensor in ours.checkpoint().tensors() {
            let found = &theirs["tensors"][&tensor.name];
            assert_eq!(
                (&found["type"], &found["shape"]),
                (
                    &tensor.format.name().into(),
                    &serde_json::json!(tensor.shape)
                )
            );
            let sum: f64 = weights(&ours, &tensor.name)
                .iter()
                .map(|&w| f64::from(w))
                .sum();
            let off = (found["sum"].as_f64().expect("a sum") - sum).abs();
            assert!(off < 1e-6, "{mix} {}: {off}", tensor.name);
        }
    }
}

#[test]
fn overrides_count() {
    let recipe = Recipe::from(Mix::Q4_0).overrides(vec![
        "attn_v=q8_0".parse().expect("valid"),
        r"^blk\.1\.attn=f16".parse().expect("valid"),
    ]);
    let quantized = repository("untied").as_quantized(&recipe);
    let format = |name: &str| {
        quantized
            .checkpoint()
            .tensor(name)
            .expect("a tensor")
            .format
    };
    assert_eq!(format("blk.1.attn_v.weight"), WeightFormat::Q8_0);
    assert_eq!(format("blk.1.attn_q.weight"), WeightFormat::F16);
    assert_eq!(format("blk.0.attn_q.weight"), WeightFormat::Q4_0);
    assert_eq!(format("blk.1.attn_norm.weight"), WeightFormat::BF16);
}

#[test]
fn parts_of_a_tensor_are_parts_of_the_whole() {
    let view = repository("untied").as_quantized(&Mix::Q5_0.into());
    let tensor = view
        .checkpoint()
        .tensor("blk.0.attn_q.weight")
        .expect("a tensor");
    let whole = view
        .checkpoint()
        .data(tensor, 0..tensor.bytes)
        .expect("its data")
        .into_owned();
    for range in [
        0..1,
        21..23,
        87..200,
        88..176,
        tensor.bytes - 3..tensor.bytes,
        5..5,
    ] {
        let part = view
            .checkpoint()
            .data(tensor, range.clone())
            .expect("a part");
        assert_eq!(part[..], whole[range.start as usize..range.end as usize]);
    }
    assert!(view.checkpoint().data(tensor, 0..tensor.bytes + 1).is_err());
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut tensors = tiny_tensors();
        let at = tensors
            .iter()
            .position(|(name, ..)| name.ends_with("up_proj.weight"))
            .expect("a tensor");
        tensors[at].3[400..404].copy_from_slice(&bad.to_le_bytes());
        let model = Files::tiny()
            .with("model.safetensors", safetensors(&tensors))
            .open()
            .expect("the header is fine");
        let view = model.as_quantized(&Mix::Q4_0.into());
        let tensor = view
            .checkpoint()
            .tensor("blk.0.ffn_up.weight")
            .expect("a tensor");
        let error: FormatError = view
            .checkpoint()
            .data(tensor, 0..tensor.bytes)
            .expect_err("no number");
        assert!(
            error.to_string().contains("weight 36 of row 1 is"),
            "{error}"
        );
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            block_on(model.quantized(&Mix::Q4_0.into(), folder.path(), &mut godwit::unwatched))
                .is_err()
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            0
        );
    }
}

/// An importance file of one matrix.
fn importance(kind: &str, sums: &[f32], count: f32) -> Bytes {
    let mut writer = GgufWriter::default();
    writer.key(
        "general.type",
        godwit::low_level::gguf::Value::String(kind.into()),
    );
    writer.tensor(
        "blk.0.attn_q.weight.in_sum2",
        WeightFormat::F32,
        &[sums.len() as u64],
    );
    let at = writer.tensor("blk.0.attn_q.weight.counts", WeightFormat::F32, &[1]);
    let mut data = writer.header();
    let start = data.len();
    data.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    data.resize(start + at as usize, 0);
    data.extend(count.to_le_bytes());
    data.resize(start + writer.data_bytes() as usize, 0);
    Bytes {
        name: "importance.gguf".into(),
        data,
    }
}

#[test]
fn importance_matrices_count() {
    let model = repository("untied");
    let sums: Vec<f32> = (0..128)
        .map(|i| if i % 2 == 0 { 4000.0 } else { 1.0 })
        .collect();
    let read = |file: Bytes| Importance::read(Box::new(file));
    let recipe = |importance| Recipe::from(Mix::Q4_0).importance(importance);
    let known = read(importance("imatrix", &sums, 10.0)).expect("it is read");
    let error = |recipe: &Recipe, parity: usize| {
        let quantized = model.as_quantized(recipe);
        let name = "blk.0.attn_q.weight";
        let pairs = weights(&model, name)
            .into_iter()
            .zip(weights(&quantized, name))
            .enumerate();
        pairs
            .filter(|(i, _)| i % 2 == parity)
            .map(|(_, (a, b))| f64::from(a - b).powi(2))
            .sum::<f64>()
    };
    let (with, without) = (recipe(Some(known)), recipe(None));
    assert!(
        error(&with, 0) < 0.8 * error(&without, 0),
        "{} for {}",
        error(&with, 0),
        error(&without, 0)
    );
    assert_ne!(with.key(), without.key());

    for (file, says) in [
        (importance("model", &sums, 10.0), "`imatrix`"),
        (
            importance("imatrix", &[-1.0; 128], 10.0),
            "number 0 is -0.1",
        ),
        (
            importance("imatrix", &[f32::NAN; 128], 10.0),
            "number 0 is NaN",
        ),
        (
            Bytes {
                name: "x".into(),
                data: b"GGUF".to_vec(),
            },
            "cut short",
        ),
    ] {
        let error = read(file).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}
