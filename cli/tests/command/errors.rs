//! What can go wrong, and what is said then.

use super::*;

#[test]
fn what_is_wrong_is_said() {
    let model = model();
    fails(
        &godwit(&["run", "nowhere.gguf", "-p", "x"]),
        3,
        "nowhere.gguf",
    );
    fails(
        &godwit(&["run", env!("CARGO_MANIFEST_DIR"), "-p", "x"]),
        3,
        "folder",
    );
    fails(
        &godwit(&[
            "run",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            "-p",
            "x",
        ]),
        3,
        "not a GGUF file",
    );
    fails(&godwit(&["run", &model, "-p", ""]), 2, "prompt is empty");
    fails(&with_input(&["run", &model], b""), 2, "prompt is empty");
    fails(&with_input(&["run", &model], b"\xff\xfe"), 3, "UTF-8");
    fails(
        &godwit(&["run", &model, "-f", "no-such-file"]),
        3,
        "no-such-file",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--temp", "-1"]),
        2,
        "temperature",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--temp=-1"]),
        2,
        "temperature",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--top-p", "1.5"]),
        2,
        "top_p",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--context", "9000000"]),
        2,
        "window of 8192",
    );
    fails(
        &godwit(&["run", &model, "-p", "one two three four", "--context", "8"]),
        5,
        "the context holds 8. Raise --context.",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--adapter", "Voodoo 2"]),
        4,
        "Voodoo 2",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--backend", "glide"]),
        2,
        "vulkan",
    );
    fails(&godwit(&["frobnicate"]), 2, "frobnicate");
    // The model comes first: nothing is read for one that is not there.
    let mut waits = command(&["run", "nowhere.gguf"]);
    let mut child = waits.stdin(Stdio::piped()).spawn().expect("it starts");
    let stdin = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    fails(&output, 3, "nowhere.gguf");
    for (name, says) in [
        ("lama3.2-1b", "Did you mean llama3.2-1b"),
        ("llama3.2:3b", "Did you mean llama3.2-3b"),
        ("no-such-model", "`godwit list --known`"),
    ] {
        fails(&godwit(&["run", name, "x"]), 3, says);
        fails(&godwit(&["show", name]), 3, says);
    }
    let mut offline = command(&["run", "-hf", "owner/repo:Q4_0", "x"]);
    let output = offline.env("HF_HUB_OFFLINE", "1").output();
    fails(&output.expect("it starts"), 3, "owner/repo:Q4_0");
    for (args, says) in [
        (["-n", "-2"], "-1 for no limit"),
        (["--seed", "-5"], "-1 for one from the clock"),
        (["--top-k", "-3"], "-3"),
        (["--context", "-1"], "-1"),
    ] {
        fails(&godwit(&["run", &model, "x", args[0], args[1]]), 2, says);
    }
}

/// SmolLM2 takes 98 MB of weights, and 24 MB of KV cache for 1,024 positions.
#[test]
fn too_little_memory_is_said() {
    let model = model();
    fails(
        &godwit(&["run", &model, "-p", "x", "--gpu-memory", "50M"]),
        4,
        "of GPU memory that are allowed",
    );
    fails(
        &godwit(&[
            "run",
            &model,
            "-p",
            "x",
            "--gpu-memory",
            "110M",
            "--no-spill",
        ]),
        4,
        "smaller context",
    );
    fails(
        &godwit(&["run", &model, "-p", "x", "--gpu-memory", "much"]),
        2,
        "6G",
    );

    // The reply up to the moment that memory ran out is not lost.
    let prompt = "word ".repeat(1010);
    let args = [
        "run",
        &model,
        "--raw",
        "-p",
        &prompt,
        "-n",
        "40",
        "--temp",
        "0",
        "--json",
        "--logit-bias",
        "2=-inf",
    ];
    let output = godwit(&[&args[..], &["--gpu-memory", "130M", "--no-spill"]].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(report["stop_reason"], "memory", "{report}");
    assert!(
        report["generated_tokens"].as_u64().is_some_and(|n| n > 0),
        "{report}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("answer ends here"));

    // Or the KV cache goes to the host, and the answer goes on as if there were room.
    let roomy = stdout(&godwit(&args));
    let spilled = stdout(&godwit(&[&args[..], &["--gpu-memory", "130M"]].concat()));
    let ids = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["ids"].clone();
    assert_eq!(ids(&roomy), ids(&spilled));
    assert_eq!(ids(&roomy).as_array().map(Vec::len), Some(40));
}

/// What a platform does not have, no driver brings.
#[cfg(target_os = "linux")]
#[test]
fn backends_of_other_platforms_are_said() {
    let output = godwit(&["run", &model(), "-p", "x", "--backend", "metal"]);
    fails(
        &output,
        4,
        "this platform does not have it, but vulkan and gl",
    );
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("install"),
        "{output:?}"
    );
}

#[test]
fn no_driver_is_no_riddle() {
    let mut command = command(&["run", &model(), "-p", "x", "--backend", "vulkan"]);
    command
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    let output = command.output().expect("it starts");
    fails(&output, 4, "install a");
    // One line, in plain letters: what wgpu says of its own search is not for people.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: no GPU adapter found for the backend vulkan; "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Mesa's driver for AMD's GPUs can act as if there were one, which then does not open.
#[test]
fn another_adapter_is_used_where_the_best_one_fails() {
    let icds: Vec<String> = std::fs::read_dir("/usr/share/vulkan/icd.d")
        .expect("Vulkan drivers")
        .filter_map(|entry| entry.expect("an entry").path().to_str().map(str::to_owned))
        .filter(|path| {
            ["radeon_icd", "lvp_icd"]
                .iter()
                .any(|name| path.contains(name))
        })
        .collect();
    assert!(icds.len() > 1, "{icds:?}; run tests/fetch.sh --tests");
    let on_both = |args: &[&str]| {
        let mut command = command(
            &[
                &[
                    "bench",
                    "--synthetic",
                    "tiny:q4_0",
                    "-p",
                    "8",
                    "-n",
                    "1",
                    "--json",
                ],
                args,
            ]
            .concat(),
        );
        command
            .env("VK_DRIVER_FILES", icds.join(":"))
            .env("RADV_FORCE_FAMILY", "navi31");
        command.output().expect("it starts")
    };
    let output = on_both(&[]);
    let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(
        report["adapter"]
            .as_str()
            .is_some_and(|name| name.starts_with("llvmpipe")),
        "{report}"
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("can't be opened") && stderr.contains("is used instead)"),
        "{stderr}"
    );
    // A named adapter is never replaced by another.
    fails(&on_both(&["--adapter", "RADV"]), 4, "can't be opened");
}

#[test]
fn what_is_logged_into_a_file_has_no_colours() {
    let output = godwit(&[
        "bench",
        "--synthetic",
        "tiny:q4_0",
        "-p",
        "8",
        "-n",
        "1",
        "--json",
        "-vv",
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("info: ") && !stderr.contains('\u{1b}'),
        "{stderr}"
    );
    assert!(
        !stderr.contains("wgpu") && !stderr.contains("naga"),
        "{stderr}"
    );
}

/// A context that an earlier version saved, and weights that it kept, are not this version's.
#[test]
fn files_of_earlier_versions_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("model.gguf"), tiny()).expect("a file");
    let [model, saved, weights] = ["model.gguf", "saved.kv", "weights"].map(path);
    let run = |more: &[&str]| {
        let args = [
            "run",
            &model,
            "--raw",
            "-p",
            "a",
            "-n",
            "1",
            "--no-cache",
            "--temp",
            "0",
        ];
        godwit(&[&args[..], more].concat())
    };
    stdout(&run(&["--save", &saved]));
    let mut bytes = std::fs::read(&saved).expect("a file");
    assert_eq!(bytes[8], 2);
    bytes[8] = 1;
    std::fs::write(&saved, bytes).expect("an earlier version's");
    fails(&run(&["--resume", &saved]), 3, "save it anew");
    fails(&run(&["--resume", &saved]), 3, "saved.kv");

    // 8 bytes of noise in kept weights: a warning, and the right answer.
    let quantised = ["--quant", "q8_0", "--quant-dir", &weights];
    let right = stdout(&run(&quantised));
    let kept = std::fs::read_dir(&weights)
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("an entry")
        .path();
    let good = std::fs::read(&kept).expect("a file");
    let mut bad = good.clone();
    bad[good.len() / 2..][..8].copy_from_slice(&[0xff; 8]);
    std::fs::write(&kept, bad).expect("a damaged file");
    let output = run(&[&quantised[..], &["-v"]].concat());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("checksum"),
        "{output:?}"
    );
    assert_eq!(stdout(&output), right);
    assert!(std::fs::read(&kept).expect("a file") == good);
}
