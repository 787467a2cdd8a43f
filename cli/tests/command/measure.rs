//! Measurements: `bench`, `perplexity`, and what `doctor` counts.

use super::*;

/// Counted from the shape alone: floats of a model of 2 layers of width 256, 4 heads and 2 KV heads
/// of 64, feed-forward 512, vocabulary 1024.
#[test]
fn bench_and_doctor_count_what_is_there() {
    let (qkv, rest, norms) = ((256 + 2 * 128) * 256, 256 * 256 + 3 * 512 * 256, 2 * 256);
    let (embedding, output_norm) = (1024 * 256, 256);
    // Weights of 2 bytes, norms of 4. The KV cache holds 2 bytes a value.
    let matrices = |floats: u64| 2 * floats;
    let layers = 2 * (matrices(qkv + rest) + 4 * norms);
    let kv = 2 * 2 * (2 * 64) * 2;
    let json = |args: &[&str]| serde_json::from_str::<Value>(&stdout(&godwit(args))).expect("JSON");
    // Every matrix is one shard, or several.
    for (tied, binding) in [("1", "1G"), ("0", "1G"), ("1", "64K"), ("0", "64K")] {
        let shape = format!("tiny:f16,tied={tied}");
        let common = [
            "--synthetic",
            &shape,
            "--max-binding",
            binding,
            "--json",
            "--no-tune",
        ];
        let bench = json(
            &[
                &["bench", "-p", "16", "-n", "3", "-d", "40", "-r", "1"],
                &common[..],
            ]
            .concat(),
        );
        // An embedding of its own is not read but for a row a token.
        let pass = layers + 4 * output_norm + matrices(embedding);
        let [prefill, decode] = [0, 1].map(|row| bench["results"][row].clone());
        let least = |row: &Value| row["least_bytes_per_token"].as_f64().expect("a number");
        assert_eq!(
            (least(&prefill) * 16.0).round() as u64,
            pass + kv * (40 + 16),
            "{shape} {binding}"
        );
        // Four tokens go through the model and, on a GPU, some that nobody has asked for yet.
        let (first, last) = (pass + kv * 41, pass + kv * 128);
        assert!(
            (first as f64..last as f64).contains(&least(&decode)),
            "{shape} {binding}: {decode}"
        );
        // The rest of the traffic is activations.
        for row in [&prefill, &decode] {
            let ratio = row["bytes_per_token"].as_f64().expect("a number") / least(row);
            assert!((1.0..1.6).contains(&ratio), "{shape} {binding}: {row}");
        }
        let dispatches = decode["dispatches_per_token"].as_f64().expect("a number");
        assert_eq!(dispatches > 50.0, binding == "64K", "{dispatches}");

        let doctor = json(&[&["doctor", "--context", "4096"], &common[..]].concat());
        let context = &doctor["model"]["contexts"][0];
        let own_head = if tied == "0" { matrices(embedding) } else { 0 };
        // Two tables of 64 floats for each of 1,024 positions, and for each 1,024 positions.
        let tables = 2 * 4 * 32 * (1024 + 4);
        let weights = pass + own_head;
        let found = context["weights"].as_u64().expect("a number");
        assert!(
            (weights..=weights + tables).contains(&found),
            "{shape} {binding}: {found}, {weights}"
        );
        assert_eq!(context["kv"], kv * 4096, "{shape} {binding}");
    }
    let raw = [
        "--raw",
        "-p",
        "one two three",
        "--temp",
        "0",
        "-n",
        "3",
        "--json",
    ];
    let run = json(&[&["run", &model()], &raw[..]].concat());
    let tokens = json(&["tokenize", &model(), "-p", "one two three", "--json"]);
    assert_eq!(
        (&run["prompt_tokens"], &run["reused_tokens"]),
        (&tokens["count"], &0.into())
    );
    assert_eq!(
        run["generated_tokens"].as_u64(),
        run["ids"].as_array().map(|ids| ids.len() as u64)
    );
}

#[test]
fn bench_and_perplexity_report() {
    let model = model();
    let bench = stdout(&godwit(&[
        "bench", &model, "-p", "8", "-n", "2", "-d", "0,4", "-r", "1", "--json",
    ]));
    let bench: Value = serde_json::from_str(&bench).expect("JSON");
    let tests: Vec<_> = bench["results"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|r| (r["test"].clone(), r["depth"].clone()))
        .collect();
    let expected = [("pp8", 0), ("tg2", 0), ("pp8", 4), ("tg2", 4)]
        .map(|(test, depth)| (test.into(), depth.into()));
    assert_eq!(tests, expected);

    // One run has no deviation.
    for (runs, deviates) in [("1", false), ("2", true)] {
        let bench = stdout(&godwit(&[
            "bench",
            "--synthetic",
            "tiny:q4_0",
            "-p",
            "8",
            "-n",
            "0",
            "-r",
            runs,
        ]));
        assert_eq!(bench.contains('±'), deviates, "{bench}");
    }

    let text = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/perplexity.txt"
    );
    let output = stdout(&godwit(&[
        "perplexity",
        &model,
        "-f",
        text,
        "--context",
        "64",
        "--chunks",
        "1",
        "--json",
    ]));
    let report: Value = serde_json::from_str(&output).expect("JSON");
    assert!(
        report["perplexity"]
            .as_f64()
            .is_some_and(|p| p > 1.0 && p < 100.0),
        "{report}"
    );
    fails(
        &godwit(&[
            "perplexity",
            &model,
            "-f",
            text,
            "--context",
            "8192",
            "--chunks",
            "0",
        ]),
        3,
        "less than one chunk",
    );

    let folder = tempfile::tempdir().expect("a folder");
    let matrix = folder.path().join("imatrix.gguf").display().to_string();
    let measure = [
        "imatrix",
        &model,
        "-f",
        text,
        "--context",
        "32",
        "--chunks",
        "2",
        "-o",
        &matrix,
    ];
    assert!(stdout(&godwit(&measure)).contains("64 tokens"));
    fails(&godwit(&measure), 1, "--force replaces it");
    let quantised = folder.path().join("q.gguf").display().to_string();
    stdout(&godwit(&[
        "quantize",
        &model,
        &quantised,
        "--type",
        "q4_0",
        "--imatrix",
        &matrix,
    ]));
    fails(
        &godwit(&[
            "quantize",
            &model,
            &quantised,
            "--type",
            "q4_0",
            "--imatrix",
            &model,
            "--force",
        ]),
        3,
        "imatrix",
    );
}
