//! What a model, a kernel and a machine are: `inspect`, `tokenize`, `doctor`, synthetic models.

use super::*;

/// What a folder offers are its models.
#[test]
fn importance_matrices_are_no_models_of_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, kind: Option<&str>| {
        let builder = kind.into_iter().fold(Builder::llama(), |file, kind| {
            file.with("general.type", gguf::string(kind))
        });
        std::fs::write(folder.path().join(name), builder.build()).expect("a file");
    };
    put("a.gguf", Some("imatrix"));
    put("b.gguf", Some("adapter"));
    let path = folder.path().display().to_string();
    fails(
        &godwit(&["inspect", &path]),
        3,
        "give one of its files: a.gguf, b.gguf",
    );
    put("c.gguf", Some("model"));
    put("d.gguf", None);
    fails(
        &godwit(&["inspect", &path]),
        3,
        "give one of its files: c.gguf, d.gguf",
    );
}

#[test]
fn synthetic_models_run() {
    let bench = [
        "bench",
        "--synthetic",
        "tiny:q4_0",
        "-p",
        "16",
        "-n",
        "2",
        "-d",
        "0,8k",
        "-r",
        "1",
        "--json",
    ];
    let bench: Value = serde_json::from_str(&stdout(&godwit(&bench))).expect("JSON");
    assert_eq!(bench["results"].as_array().map(Vec::len), Some(4));
    let max = [
        "doctor",
        "--synthetic",
        "llama3-8b:q4_k",
        "--context",
        "max",
        "--gpu-memory",
        "8G",
        "--json",
        "--kv",
        "q4_0",
    ];
    let doctor: Value = serde_json::from_str(&stdout(&godwit(&max))).expect("JSON");
    let context = &doctor["model"]["contexts"][0];
    let total: u64 = ["weights", "kv", "scratch"]
        .iter()
        .filter_map(|part| context[part].as_u64())
        .sum();
    // The longest that fits: more than half a segment of 64 MiB for each layer's keys and values
    // can't be left.
    assert!(total <= 8 << 30 && total > 7 << 30, "{doctor}");
    fails(&godwit(&["bench", "--synthetic", "llama9"]), 2, "llama3-8b");
    fails(&godwit(&["bench"]), 2, "MODEL");
}

#[test]
fn inspect_shows_the_wgsl_of_kernels() {
    let text = stdout(&godwit(&[
        "inspect",
        "--wgsl",
        "matmul.gemv",
        "--format",
        "q8_0",
    ]));
    assert!(
        text.contains("fn matmul(") && text.contains("// Q8_0:"),
        "{text}"
    );
    assert!(
        !text.contains("#import") && !text.contains("#ifdef"),
        "{text}"
    );
    let json: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", "--wgsl", "matmul", "--json"])))
            .expect("JSON");
    assert_eq!(
        (&json["variant"], &json["format"]),
        (&"gemv".into(), &"Q4_K".into())
    );
    fails(
        &godwit(&["inspect", "--wgsl", "matmull"]),
        2,
        "the kernels are embed, rms_norm, matmul",
    );
    fails(
        &godwit(&["inspect", "--wgsl", "matmul.fast"]),
        2,
        "its variants are gemv, gemv_dp4a",
    );
    fails(
        &godwit(&["inspect", "--wgsl", "matmul", "--format", "q9"]),
        2,
        "its formats are F32, F16",
    );
    fails(
        &godwit(&["inspect", "--wgsl", "argmax", "--format", "q8_0"]),
        2,
        "argmax has no weights",
    );
    fails(
        &godwit(&["inspect", "--wgsl", "argmax", "x.gguf"]),
        2,
        "cannot be used with",
    );
}

#[test]
fn inspect_tokenize_and_doctor() {
    let model = model();
    let text = stdout(&godwit(&["inspect", &model]));
    for part in [
        "30 layers of width 576",
        "general.architecture = \"llama\"",
        "token_embd.weight",
        "Q4_1",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
    let json: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", &model, "--json"]))).expect("JSON");
    assert_eq!(
        (
            &json["config"]["head_dim"],
            &json["tensors"].as_array().map(Vec::len)
        ),
        (&64.into(), &Some(272))
    );

    let json = |args: &[&str]| serde_json::from_str::<Value>(&stdout(&godwit(args))).expect("JSON");
    let plain = json(&["tokenize", &model, "-p", "<|im_end|>", "--json"]);
    let special = json(&[
        "tokenize",
        &model,
        "-p",
        "<|im_end|>",
        "--json",
        "--special",
    ]);
    assert_eq!(special["ids"], serde_json::json!([2]));
    assert!(
        plain["count"].as_u64() > Some(1),
        "typed control tokens are text: {plain}"
    );

    let doctor = json(&["doctor", &model, "--json"]);
    assert!(
        doctor["bandwidth_bytes_per_s"].as_f64() > Some(1e6),
        "{doctor}"
    );
    assert!(!doctor["adapters"].as_array().expect("a list").is_empty());

    // A smaller KV cache has room for a longer context, up to the window.
    let doctor = json(&[
        "doctor",
        &model,
        "--json",
        "--gpu-memory",
        "170M",
        "--context",
        "4096",
        "--kv",
        "q8_0",
    ]);
    let longest = |kind: &str| {
        doctor["model"]["longest_context"][kind]
            .as_u64()
            .expect("a number")
    };
    assert!(
        0 < longest("f32") && longest("f32") < longest("f16") && longest("f16") < longest("q8_0"),
        "{doctor}"
    );
    assert_eq!(longest("q4_0"), 8192);
    // 4,096 positions of 30 layers, 3 heads, keys and values of 16 words of codes and one of
    // scales.
    assert_eq!(
        doctor["model"]["contexts"][0]["kv"],
        4096 * 30 * 3 * 2 * 17 * 4
    );
    let args = ["doctor", &model, "--gpu-memory", "100M"];
    let output = godwit(&[&args[..], &["--context", "8192"]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("does not fit: needs "), "{text}");
}
