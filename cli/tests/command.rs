//! The command as a person or a script meets it: outputs, exit codes, pipes, and what goes wrong.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use godwit_tests::gguf::{self, Builder};
use serde_json::Value;

fn model() -> String {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/SmolLM2-135M-Instruct.Q4_1.gguf"
    ));
    assert!(
        path.exists(),
        "{} is missing; run tests/fetch.sh --tests",
        path.display()
    );
    path.display().to_string()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn godwit(args: &[&str]) -> Output {
    command(args).output().expect("the command starts")
}

fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command starts");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input)
        .expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn fails(output: &Output, code: i32, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says), "{stderr:?} does not say {says:?}");
    assert!(output.stdout.is_empty(), "errors are for stderr");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn run_answers() {
    let output = godwit(&[
        "run",
        &model(),
        "-p",
        "What is the capital of France?",
        "--temp",
        "0",
        "-n",
        "20",
    ]);
    assert_eq!(stdout(&output), "The capital of France is Paris.\n");
}

#[test]
fn files_that_are_not_mapped_are_read() {
    let args = [
        "run",
        &model(),
        "-p",
        "What is the capital of France?",
        "--temp",
        "0",
        "-n",
        "20",
        "--no-mmap",
    ];
    assert_eq!(stdout(&godwit(&args)), "The capital of France is Paris.\n");
    assert!(
        stdout(&godwit(&[
            "tokenize",
            &model(),
            "-p",
            "a b",
            "--no-mmap",
            "--json"
        ]))
        .contains("ids")
    );
}

#[test]
fn run_reads_stdin_and_files_and_reports_json() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "What is the capital of France?\n").expect("a written file");
    let path = file.path().to_str().expect("a path");
    let options = ["--temp", "0", "-n", "3", "--json"];
    let from_file = stdout(&godwit(
        &[&["run", &model(), "-f", path][..], &options].concat(),
    ));
    let from_stdin = stdout(&with_input(
        &[&["run", &model()][..], &options].concat(),
        b"What is the capital of France?\n",
    ));
    let [a, b] = [from_file, from_stdin]
        .map(|text| serde_json::from_str::<Value>(&text).expect("one JSON object"));
    assert_eq!(a["ids"], b["ids"]);
    assert_eq!(a["ids"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&a["text"], &a["generated_tokens"], &a["stop_reason"]),
        (&"The capital of".into(), &3.into(), &"length".into())
    );
    for field in [
        "prompt_tokens",
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
        "load_s",
    ] {
        assert!(
            a[field].as_f64().is_some_and(|n| n > 0.0),
            "{field}: {}",
            a[field]
        );
    }
    assert!(a["adapter"].is_string() && a["backend"].is_string());
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let with = |seed: &str| {
        stdout(&godwit(&[
            "run",
            &model(),
            "-p",
            "Hello",
            "-n",
            "8",
            "--temp",
            "1.5",
            "--seed",
            seed,
        ]))
    };
    assert_eq!(with("7"), with("7"));
    assert_ne!(with("7"), with("8"));
}

#[test]
fn what_is_piped_goes_before_the_question() {
    let args = ["run", &model(), "--temp", "0", "-n", "1", "--json"];
    let json = |output: &Output| serde_json::from_str::<Value>(&stdout(output)).expect("JSON");
    let question = "How old is Bob?";
    let plain = json(&godwit(&[&args[..], &["-p", question]].concat()));
    let piped = json(&with_input(
        &[&args[..], &["-p", question]].concat(),
        b"Fact: Bob is 7 years old.\n",
    ));
    let whole = json(&godwit(
        &[
            &args[..],
            &["-p", &format!("Fact: Bob is 7 years old.\n\n{question}")],
        ]
        .concat(),
    ));
    assert!(
        piped["prompt_tokens"].as_u64() > plain["prompt_tokens"].as_u64(),
        "{piped}"
    );
    assert_eq!(
        (&piped["prompt_tokens"], &piped["ids"]),
        (&whole["prompt_tokens"], &whole["ids"])
    );
    // All three, and stdin by its name.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "Fact: Bob").expect("a written file");
    let path = file.path().to_str().expect("a path");
    let three = json(&with_input(
        &[&args[..], &["-f", path, "-p", question]].concat(),
        b"is 7 years old.\n",
    ));
    let whole = json(&godwit(
        &[
            &args[..],
            &["-p", &format!("Fact: Bob\n\nis 7 years old.\n\n{question}")],
        ]
        .concat(),
    ));
    assert_eq!(three["ids"], whole["ids"]);
    let named = json(&with_input(
        &[&args[..], &["-f", "-"]].concat(),
        question.as_bytes(),
    ));
    assert_eq!(
        (&named["ids"], &named["prompt_tokens"]),
        (&plain["ids"], &plain["prompt_tokens"])
    );
    fails(
        &with_input(&[&args[..], &["-p", question]].concat(), b"\xff\xfe"),
        3,
        "stdin: byte 0 is not UTF-8",
    );
}

#[test]
fn text_on_stdin_is_never_dropped_by_tokenize() {
    fails(
        &with_input(&["tokenize", &model(), "-p", "ab"], b"more\n"),
        2,
        "text on stdin besides another",
    );
    assert!(
        stdout(&with_input(
            &["tokenize", &model(), "-f", "-", "--json"],
            b"ab"
        ))
        .contains("\"count\":1")
    );
}

#[test]
fn a_file_that_is_read_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "Notes.\n").expect("a file");
    let path = path.to_str().expect("a path");
    let args = [
        "run",
        &model(),
        "-f",
        path,
        "-n",
        "1",
        "--save",
        path,
        "--force",
    ];
    fails(&godwit(&args), 1, "which this command reads");
    let mut piped = command(&["run", &model(), "-n", "1", "--save", path, "--force"]);
    let output = piped
        .stdin(std::fs::File::open(path).expect("a file"))
        .output()
        .expect("it starts");
    fails(&output, 1, "which this command reads");
    assert_eq!(std::fs::read_to_string(path).expect("readable"), "Notes.\n");
}

/// A signal while a prompt is read keeps the conversation that was resumed.
#[cfg(unix)]
#[test]
fn an_interrupted_prompt_keeps_the_conversation() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (saved, long) = (path("talk.kv"), path("long.txt"));
    let (model, common) = (
        model(),
        ["--temp", "0", "-n", "4", "--no-cache", "--save", &saved],
    );
    stdout(&godwit(
        &[&["run", &model, "-p", "My name is Bob."][..], &common].concat(),
    ));
    let messages = || {
        let bytes = std::fs::read(&saved).expect("a saved context");
        String::from_utf8_lossy(&bytes[..1000.min(bytes.len())]).contains("My name is Bob.")
    };
    assert!(messages());
    std::fs::write(&long, "word ".repeat(6000)).expect("a file");
    let mut child = command(
        &[
            &["run", &model, "--resume", &saved, "-f", &long][..],
            &common,
        ]
        .concat(),
    )
    .spawn()
    .expect("the command starts");
    // Some of the prompt is read by then, or nothing is: the conversation stays in both cases.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    // A fast GPU has answered by then.
    let code = child.wait().expect("it ends").code();
    assert!(matches!(code, Some(143 | 0)), "{code:?}");
    assert!(messages());
}

#[test]
fn a_script_hears_of_messages_that_were_not_answered() {
    let long = "word ".repeat(100);
    let output = with_input(
        &["chat", &model(), "--context", "64", "-n", "4"],
        format!("Hi\n{long}\n").as_bytes(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("1 of the messages were not answered")
    );
}

#[test]
fn an_answer_that_nobody_reads_is_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("talk.kv").display().to_string();
    let mut child = command(&[
        "chat",
        &model(),
        "--json",
        "-n",
        "3",
        "--temp",
        "0",
        "--save",
        &saved,
    ])
    .stdin(Stdio::piped())
    .spawn()
    .expect("the command starts");
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"Hi\n")
        .expect("it reads");
    assert!(child.wait().expect("it ends").success());
    let bytes = std::fs::read(&saved).expect("a saved context");
    assert!(String::from_utf8_lossy(&bytes).contains("\"role\":\"assistant\""));
}

#[test]
fn an_answer_that_is_cut_says_so() {
    let args = ["run", &model(), "-p", "Count to a hundred.", "--temp", "0"];
    let said = |more: &[&str]| {
        let output = godwit(&[&args[..], more].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(
        said(&["-n", "3"]),
        "(stopped after 3 tokens; -n N allows more)\n"
    );
    let context = said(&["--context", "40"]);
    assert!(
        context.contains("the context of 40 tokens is full; --context N holds up to 8192"),
        "{context}"
    );
    let whole = godwit(&[
        "run",
        &model(),
        "-p",
        "What is the capital of France?",
        "--temp",
        "0",
    ]);
    assert!(
        whole.status.success() && whole.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&whole.stderr)
    );
}

#[test]
fn raw_continues_the_prompt() {
    let output = godwit(&[
        "run",
        &model(),
        "--raw",
        "-p",
        "The capital of France is",
        "--temp",
        "0",
        "-n",
        "2",
        "--webgpu-limits",
    ]);
    assert_eq!(stdout(&output), " Paris.\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = command(&[
        "run",
        &model(),
        "-p",
        "Count to one hundred.",
        "-n",
        "200",
        "--temp",
        "0",
    ])
    .spawn()
    .expect("it starts");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{:?}", output.status);
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("rror: Broken"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

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
        "unexpected argument",
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
        "do not fit",
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
        stderr.contains("/frob is no command") && stderr.contains("tokens computed"),
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
    let text = stdout(&godwit(&[
        "doctor",
        &model,
        "--gpu-memory",
        "100M",
        "--context",
        "8192",
    ]));
    assert!(text.contains("does not fit"), "{text}");
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

/// A model of one layer, 4 KB a matrix.
fn tiny() -> Vec<u8> {
    godwit_tests::gguf::Builder::llama().build()
}

/// Runs a command that writes to a path, with more arguments.
type Write<'a> = &'a dyn Fn(&str, &[&str]) -> Output;

/// Files of other kinds are left as they are.
#[test]
fn outputs_replace_only_what_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let put = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).expect("a file");
        path(name)
    };
    let (model, text) = (
        put("model.gguf", &tiny()),
        put("text.txt", "abcd".repeat(40).as_bytes()),
    );
    let save = |to: &str, more: &[&str]| {
        godwit(
            &[
                &[
                    "run",
                    &model,
                    "--raw",
                    "-p",
                    "a",
                    "-n",
                    "1",
                    "--save",
                    to,
                    "--no-cache",
                ],
                more,
            ]
            .concat(),
        )
    };
    let quantize = |from: &str, to: &str, more: &[&str]| {
        godwit(&[&["quantize", from, to, "--type", "q8_0"], more].concat())
    };
    let imatrix = |to: &str, more: &[&str]| {
        godwit(
            &[
                &["imatrix", &model, "-f", &text, "--context", "16", "-o", to],
                more,
            ]
            .concat(),
        )
    };
    let outputs: [(&str, Write<'_>); 3] = [
        ("--save", &save),
        ("quantize", &|to, more| quantize(&model, to, more)),
        ("imatrix", &imatrix),
    ];

    for (what, write) in outputs {
        // The model itself, by its name and by another; what somebody wrote; a link's target; no
        // file at all.
        let hard = path("hard.gguf");
        let _ = std::fs::remove_file(&hard);
        std::fs::hard_link(&model, &hard).expect("a link");
        for own in [&model, &hard] {
            fails(&write(own, &[]), 1, "a GGUF model");
            fails(&write(own, &["--force"]), 1, "the same file");
        }
        let notes = put("notes.txt", b"notes\n");
        fails(&write(&notes, &[]), 1, "notes.txt");
        fails(&write(&notes, &[]), 1, "--force replaces it");
        fails(
            &write(&folder.path().display().to_string(), &["--force"]),
            1,
            "folder",
        );
        #[cfg(unix)]
        {
            let (link, pipe) = (path("link"), path("pipe"));
            let _ = (std::fs::remove_file(&link), std::fs::remove_file(&pipe));
            std::os::unix::fs::symlink("notes.txt", &link).expect("a link");
            assert!(
                Command::new("mkfifo")
                    .arg(&pipe)
                    .status()
                    .expect("mkfifo")
                    .success()
            );
            for (other, says) in [
                (&*link, "a link to notes.txt"),
                (&pipe, "a pipe"),
                ("/dev/null", "a device"),
            ] {
                fails(&write(other, &[]), 1, says);
                fails(&write(other, &["--force"]), 1, says);
            }
            assert!(std::fs::read_link(&link).is_ok_and(|target| target.ends_with("notes.txt")));
        }
        assert_eq!(std::fs::read(&notes).expect("notes"), b"notes\n", "{what}");
        assert_eq!(std::fs::read(&model).expect("the model"), tiny(), "{what}");

        // Any regular file, for those who insist; and what is new or empty.
        for to in [notes, put("empty", b""), path(&format!("new {what}"))] {
            let more: &[&str] = if to.ends_with("notes.txt") {
                &["--force"]
            } else {
                &[]
            };
            let output = write(&to, more);
            assert!(
                output.status.success(),
                "{what} {to}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                std::fs::read(&to).is_ok_and(|file| file.starts_with(b"G")),
                "{what} {to}"
            );
        }
    }
    // An earlier context is replaced, as the help says; a model or an importance matrix only by
    // --force.
    let (context, matrix, other) = (
        path("new --save"),
        path("new imatrix"),
        path("new quantize"),
    );
    assert!(save(&context, &[]).status.success());
    fails(&save(&other, &[]), 1, "a GGUF model");
    fails(&quantize(&model, &other, &[]), 1, "a GGUF model");
    fails(&quantize(&model, &matrix, &[]), 1, "an importance matrix");
    fails(&imatrix(&matrix, &[]), 1, "an importance matrix");
    fails(&imatrix(&context, &[]), 1, "a saved context");
    fails(
        &quantize(&model, &matrix, &["--force", "--imatrix", &matrix]),
        1,
        "the same file",
    );
    fails(&imatrix(&text, &["--force"]), 1, "the same file");
    fails(&godwit(&["run", &model, "-p", "a", "--force"]), 2, "--save");

    // No part of a model in several files either: its weights, its configuration, its tokenizer.
    let files = godwit_tests::repository::Files::sharded();
    let repository = folder.path().join("repository");
    std::fs::create_dir(&repository).expect("a folder");
    for (name, content) in &files.files {
        std::fs::write(repository.join(name), content).expect("a file");
    }
    for (name, content) in &files.files {
        let (from, to) = (
            repository.display().to_string(),
            repository.join(name).display().to_string(),
        );
        fails(&quantize(&from, &to, &["--force"]), 1, "the same file");
        assert_eq!(&std::fs::read(&to).expect("a file"), content, "{name}");
    }
}

#[test]
fn conversations_replace_only_conversations() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = model();
    std::fs::write(path("notes.json"), r#"{"messages": 3}"#).expect("a file");
    let names = ["chat.json", "notes.json"].map(path);
    let [chat, notes] = &names;
    let input = format!(
        "/save {chat}\n/save {chat}\n/save {notes}\n/save {model}\n/save {}/x\n/exit\n",
        path("none")
    );
    let output = with_input(&["chat", &model, "--system", "Be brief."], input.as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.matches("Saved 1 messages").count(), 2, "{stderr}");
    for says in ["notes.json: it exists already", "a GGUF model", "none/x"] {
        assert!(stderr.contains(says), "{stderr:?} does not say {says:?}");
    }
    assert_eq!(
        std::fs::read_to_string(notes).expect("a file"),
        r#"{"messages": 3}"#
    );
    assert!(std::fs::read_to_string(chat).is_ok_and(|chat| chat.contains("Be brief.")));
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

#[test]
fn completions_and_manual() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&godwit(&["completions", shell])).contains("perplexity"));
    }
    assert!(stdout(&godwit(&["man"])).starts_with(".ie"));
}

/// A small file, written for one test.
fn written(builder: &Builder) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, builder.build()).expect("a written file");
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn what_is_not_used_is_said() {
    let builder = Builder::llama()
        .with("llama.foo", gguf::u32(7))
        .with("llama.logit_scale", gguf::f32(0.5))
        .with("general.sampling.top_p", gguf::f32(7.0))
        .change(|b| b.tensor("blk.0.attn_q_norm.weight", &[64]))
        .change(|b| b.tensor("blk.0.attn_rot_embd.weight", &[32]));
    let (_folder, path) = written(&builder);
    let found: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", &path, "--json"]))).expect("JSON");
    assert_eq!(found["runs"], false);
    assert_eq!(
        found["unsupported_tensors"],
        serde_json::json!(["blk.0.attn_q_norm.weight"])
    );
    assert_eq!(
        found["unused_tensors"],
        serde_json::json!(["blk.0.attn_rot_embd.weight"])
    );
    assert_eq!(found["unused_keys"], serde_json::json!(["llama.foo"]));
    assert_eq!(found["config"]["width"], 64);
    let said = |list: &str| {
        found[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|text| format!("{text}\n"))
            .collect::<String>()
    };
    assert!(
        said("unused_values").contains("`general.sampling.top_p`: it is 7"),
        "{}",
        said("unused_values")
    );
    assert!(
        said("obstacles").contains("`llama.logit_scale` is 0.5, which is not supported"),
        "{}",
        said("obstacles")
    );
    let text = stdout(&godwit(&["inspect", &path]));
    for line in [
        "Can't be run",
        "    blk.0.attn_q_norm.weight",
        "Not used",
        "  key llama.foo",
        "  tensor blk.0.attn_rot_embd",
    ] {
        assert!(text.contains(line), "{text} lacks {line:?}");
    }
    // Once in the list, once among the metadata.
    assert_eq!(text.matches("llama.foo").count(), 2, "{text}");
    fails(
        &godwit(&["run", &path, "-p", "a"]),
        3,
        "`llama.logit_scale` is 0.5",
    );
    let whole: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", &model(), "--json"]))).expect("JSON");
    assert_eq!(
        (&whole["runs"], &whole["unused_keys"]),
        (&true.into(), &serde_json::json!([]))
    );
}

#[test]
fn recommended_values_are_checked_where_they_are_used() {
    let builder = Builder::llama().with("general.sampling.top_p", gguf::f32(7.0));
    let (_folder, path) = written(&builder);
    let run = |options: &[&str]| {
        let output = godwit(
            &[
                &["run", &path, "--raw", "-p", "a", "-n", "1", "--no-cache"][..],
                options,
            ]
            .concat(),
        );
        stdout(&output);
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let said = run(&[]);
    assert!(
        said.contains("`general.sampling.top_p`: it is 7") && said.contains("--top-p sets it"),
        "{said}"
    );
    for options in [["--top-p", "0.5"], ["--temp", "0"]] {
        assert!(!run(&options).contains("top_p"), "{options:?}");
    }
}

#[test]
fn a_vocabulary_alone_is_enough_to_tokenize() {
    let builder = Builder::llama().change(|b| (b.rows, b.data) = (Vec::new(), Vec::new()));
    let (_folder, path) = written(&builder);
    let found: Value =
        serde_json::from_str(&stdout(&godwit(&["tokenize", &path, "-p", "ab", "--json"])))
            .expect("JSON");
    assert_eq!(found["count"], 2);
    fails(
        &godwit(&["run", &path, "-p", "a"]),
        3,
        "a vocabulary without weights",
    );
}
