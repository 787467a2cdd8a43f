//! NaN and infinity in a model: every command ends with exit code 3 and says where they are.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use godwit_tests::safetensors::{Folder, Shape};
use safetensors::tensor::Dtype;

const SHAPE: Shape = Shape {
    layers: 1,
    heads: 2,
    kv_heads: 1,
    head_dim: 32,
    ffn: 64,
    vocab: 300,
    tied: false,
};

fn folder(change: impl FnOnce(&mut dyn FnMut(&str, usize, f32))) -> tempfile::TempDir {
    let mut folder = Folder::llama(SHAPE, Dtype::F32, 1);
    change(&mut |part, at, value| {
        let weight = folder
            .weights
            .iter_mut()
            .find(|weight| weight.name.contains(part))
            .expect("such a weight");
        weight.floats[at] = value;
    });
    let place = tempfile::tempdir().expect("a folder");
    folder.write(place.path()).expect("it is written");
    let template = r#"{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}"#;
    std::fs::write(place.path().join("tokenizer_config.json"), template).expect("it is written");
    std::fs::write(
        place.path().join("text.txt"),
        "The quick brown fox jumps over the lazy dog. ".repeat(9),
    )
    .expect("it is written");
    place
}

fn godwit(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .args(args)
        .env("GODWIT_CONFIG", "")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

/// The answers of the commands that compute with the model.
fn answers(model: &Path) -> Vec<(String, Output)> {
    let (text, out) = (model.join("text.txt"), model.join("out.gguf"));
    let [model, text, out] = [model, &text, &out].map(|path| path.to_str().expect("a path"));
    let on_text = ["-f", text, "--context", "64", "--chunks", "2"];
    let commands: [Vec<&str>; 6] = [
        vec![
            "run",
            model,
            "-p",
            "Hi",
            "-n",
            "4",
            "--temp",
            "0",
            "--no-cache",
            "--json",
        ],
        vec![
            "run",
            model,
            "-p",
            "Hi",
            "-n",
            "4",
            "--temp",
            "1",
            "--seed",
            "1",
            "--no-cache",
        ],
        vec![
            "run",
            model,
            "--raw",
            "-p",
            "Hi",
            "-n",
            "4",
            "--temp",
            "0",
            "--no-cache",
        ],
        [&["perplexity", model], &on_text[..]].concat(),
        [&["perplexity", model, "--json"], &on_text[..]].concat(),
        [&["imatrix", model, "-o", out], &on_text[..]].concat(),
    ];
    commands
        .into_iter()
        .map(|args| (args.join(" "), godwit(&args)))
        .collect()
}

#[track_caller]
fn fails(command: &str, output: &Output, says: &str) {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(3),
        "{command}: {stdout} {stderr}"
    );
    assert!(
        stderr.contains(says),
        "{command}: {stderr:?} does not say {says:?}"
    );
    assert!(
        stdout.trim().is_empty() && !stdout.contains("NaN"),
        "{command}: {stdout}"
    );
}

#[test]
fn weights() {
    let model = folder(|set| set("mlp.down_proj", 64 + 3, f32::NAN));
    let says = "tensor `model.layers.0.mlp.down_proj.weight`: weight 3 of row 1 is NaN";
    for (command, output) in answers(model.path()) {
        fails(&command, &output, says);
    }
    let [from, out] = [model.path().to_owned(), model.path().join("q.gguf")];
    let [from, out] = [&from, &out].map(|path| path.to_str().expect("a path"));
    fails(
        "quantize",
        &godwit(&["quantize", from, out, "--type", "q8_0"]),
        says,
    );
    assert!(!Path::new(out).exists());
    // A vector, which is copied as it is.
    let model = folder(|set| set("input_layernorm", 9, f32::INFINITY));
    let from = model.path().to_str().expect("a path");
    let output = godwit(&["quantize", from, out, "--type", "q8_0"]);
    fails(
        "quantize",
        &output,
        "tensor `model.layers.0.input_layernorm.weight`: weight 9 of row 0 is inf",
    );
}

#[test]
fn logits() {
    // Inputs of the matrices are finite: `imatrix` has nothing to complain about.
    let model = folder(|set| {
        set("model.norm", 5, 1e6);
        set("lm_head", 7 * 64 + 5, 3e38);
        set("lm_head", 8 * 64 + 5, -3e38);
    });
    for (command, output) in answers(model.path()) {
        if !command.starts_with("imatrix") {
            fails(&command, &output, "the logits after token ");
        }
    }
}
