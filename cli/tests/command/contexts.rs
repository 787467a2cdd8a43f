//! Conversations, and contexts that are saved, resumed, shifted and cached.

use super::*;

#[test]
fn chat_talks_over_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("saved.json");
    let saved = saved.to_str().expect("a path");
    let input = format!(
        "What is the capital of France?\n/save {saved}\n/frob\n/stats\nAnd \
         of\\\nItaly?\n/exit\nnever\n"
    );
    let output = with_input(
        &[
            "chat",
            &model(),
            "--temp",
            "0",
            "-n",
            "24",
            "--json",
            "--system",
            "Be brief.",
        ],
        input.as_bytes(),
    );
    let text = stdout(&output);
    let turns: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(turns.len(), 2, "{text}");
    assert!(
        turns[0]["text"]
            .as_str()
            .is_some_and(|t| t.contains("Paris")),
        "{text}"
    );
    // The second turn computes its own tokens only.
    let prompt = |turn: usize, what: &str| turns[turn][what].as_u64().unwrap_or_default();
    assert!(
        prompt(1, "reused_tokens")
            >= prompt(0, "prompt_tokens") + prompt(0, "generated_tokens") - 1,
        "{text}"
    );
    assert!(prompt(1, "prompt_tokens") < 20, "{text}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("Unknown command /frob. Type /help.") && stderr.contains("tokens computed"),
        "{stderr}"
    );
    let saved: Value =
        serde_json::from_slice(&std::fs::read(saved).expect("the saved file")).expect("JSON");
    assert_eq!(saved["messages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn contexts_are_saved_and_resumed() {
    let (model, folder) = (model(), tempfile::tempdir().expect("a folder"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (text, saved) = (path("text.txt"), path("saved.kv"));
    std::fs::write(
        &text,
        "The godwit flies from Alaska to New Zealand without a rest.\n",
    )
    .expect("a file");
    let json = |args: &[&str]| {
        let common = ["--temp", "0", "-n", "8", "--json", "--no-cache"];
        serde_json::from_str::<Value>(&stdout(&godwit(
            &[&["run", &model], args, &common].concat(),
        )))
        .expect("JSON")
    };
    let first = json(&["-f", &text, "-p", "Where does it fly to?", "--save", &saved]);
    assert_eq!(first["reused_tokens"], 0, "{first}");
    // All but the new question is there.
    let second = json(&["--resume", &saved, "-p", "And from where?"]);
    let held = first["prompt_tokens"].as_u64().expect("a number") + 7;
    assert!(
        second["reused_tokens"].as_u64() >= Some(held),
        "{first} {second}"
    );
    assert!(
        second["prompt_tokens"].as_u64() > Some(held + 8),
        "{second}"
    );

    fails(
        &godwit(&["run", &model, "-p", "x", "--resume", &text]),
        3,
        "not a snapshot",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--resume", &saved, "--kv", "q8_0"]),
        3,
        "another type",
    );
    fails(
        &godwit(&[
            "run",
            &model,
            "-p",
            "x",
            "--resume",
            &saved,
            "--rope-theta",
            "5e5",
        ]),
        3,
        "rotary",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--resume", &path("none")]),
        3,
        "none",
    );
    // A file that is certainly wrong is refused before the model is loaded, or looked for at all.
    for (file, says) in [(&text, "not a snapshot"), (&path("none"), "none")] {
        fails(
            &godwit(&["run", &path("no.gguf"), "-p", "x", "--resume", file]),
            3,
            says,
        );
        fails(
            &godwit(&["chat", &path("no.gguf"), "--resume", file]),
            3,
            says,
        );
    }
    fails(
        &godwit(&[
            "run",
            &path("no.gguf"),
            "-p",
            "x",
            "--resume",
            &saved,
            "--kv",
            "q8_0",
        ]),
        3,
        "another type",
    );
    let other = Builder::llama()
        .with("general.name", gguf::string("other"))
        .build();
    std::fs::write(path("other.gguf"), other).expect("a model");
    // Another name is noted, and the weights decide.
    let other = godwit(&["run", &path("other.gguf"), "-p", "x", "--resume", &saved]);
    fails(&other, 3, "can't be used here");
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(said.contains("their weights are compared"), "{said}");
    // The same weights by another name.
    let tiny = |name: &str| {
        let model = Builder::llama().with("general.name", gguf::string(name));
        std::fs::write(path(&format!("{name}.gguf")), model.build()).expect("a model");
        path(&format!("{name}.gguf"))
    };
    let (first, second) = (tiny("first"), tiny("second"));
    let context = path("tiny.kv");
    let run = |model: &str, rest: &[&str]| {
        let output = godwit(&[&["run", model, "--raw", "-p", "abc", "-n", "1"], rest].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    run(&first, &["--save", &context]);
    assert!(run(&second, &["--resume", &context]).contains("their weights are compared"));
    let mut bytes = std::fs::read(&saved).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&saved, bytes).expect("a damaged file");
    fails(
        &godwit(&["run", &model, "-p", "x", "--resume", &saved]),
        3,
        "damaged",
    );
    fails(
        &godwit(&[
            "run",
            &model,
            "-p",
            "x",
            "-n",
            "1",
            "--json",
            "--save",
            "/nonexistent/x.kv",
        ]),
        1,
        "/nonexistent",
    );
}

/// Cached weights are read as `--no-mmap` asks, and make room as soon as they are used.
#[test]
fn cached_weights_follow_the_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("model.gguf"), tiny()).expect("a file");
    let [model, weights] = ["model.gguf", "weights"].map(path);
    let run = |quant: &str, more: &[&str]| {
        let args = [
            "run",
            &model,
            "--raw",
            "-p",
            "a",
            "-n",
            "4",
            "--temp",
            "0",
            "--no-cache",
        ];
        stdout(&godwit(
            &[
                &args[..],
                &["--quant", quant, "--quant-dir", &weights],
                more,
            ]
            .concat(),
        ))
    };
    let kept = || {
        let entries = std::fs::read_dir(&weights).expect("a folder").flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_by_key(|name| name.rsplit('-').next().map(str::to_owned));
        names
    };
    let right = run("q8_0", &["--quant-cache-size", "0"]);
    assert!(!std::path::Path::new(&weights).exists());
    // Written, and read, without a map.
    assert_eq!(
        (run("q8_0", &["--no-mmap"]), run("q8_0", &["--no-mmap"])),
        (right.clone(), right.clone())
    );
    run("q4_0", &[]);
    let both = kept();
    assert_eq!(both.len(), 2, "{both:?}");
    // The one that is used stays, and the other makes room for it; then it does not fit either.
    let bytes = std::fs::metadata(folder.path().join("weights").join(&both[1]))
        .expect("a file")
        .len();
    assert_eq!(
        run("q8_0", &["--quant-cache-size", &bytes.to_string()]),
        right
    );
    assert_eq!(kept(), both[1..]);
    assert_eq!(run("q8_0", &["--quant-cache-size", "100"]), right);
    assert_eq!(kept(), [""; 0]);
}

#[test]
fn a_full_context_is_said_or_shifted() {
    let model = model();
    let args = [
        "run",
        &model,
        "-p",
        "Count to a hundred.",
        "-n",
        "120",
        "--temp",
        "0",
        "--context",
        "64",
        "--logit-bias",
    ];
    let full = godwit(&[&args[..], &["2=-inf"]].concat());
    assert!(
        full.status.success() && String::from_utf8_lossy(&full.stderr).contains("--context-shift")
    );
    let shifted = stdout(&godwit(
        &[&args[..], &["2=-inf", "--context-shift", "--json"]].concat(),
    ));
    let shifted: Value = serde_json::from_str(&shifted).expect("JSON");
    assert_eq!(
        (&shifted["generated_tokens"], &shifted["stop_reason"]),
        (&120.into(), &"length".into())
    );
}
