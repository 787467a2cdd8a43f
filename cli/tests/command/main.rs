//! The command as a person or a script meets it: outputs, exit codes, pipes, and what goes wrong.

mod contexts;
mod cut_short;
mod drafts;
mod errors;
mod forks;
mod input;
mod inspect;
mod measure;
mod messages;
mod metadata;
mod outputs;
mod parallel;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use godwit_tests::gguf::{self, Builder};
use godwit_tests::model::fixture;
use serde_json::Value;

use outputs::tiny;

fn model() -> String {
    let path = fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    path.display().to_string()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    // Not the configuration of whoever runs the tests.
    command
        .args(args)
        .env("GODWIT_CONFIG", "")
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

/// Runs a command that writes to a path, with more arguments.
type Write<'a> = &'a dyn Fn(&str, &[&str]) -> Output;

#[test]
fn completions_and_manual() {
    for shell in ["bash", "zsh", "fish"] {
        // The script asks the command itself.
        assert!(stdout(&godwit(&["completions", shell])).contains("_GODWIT_COMPLETE"));
    }
    assert!(stdout(&godwit(&["man"])).starts_with(".ie"));
    assert!(stdout(&godwit(&["man", "run"])).contains("godwit\\-run"));
    fails(&godwit(&["man", "rum"]), 2, "no command `rum`");
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("man1");
    let paths = stdout(&godwit(&["man", "--dir", &to.display().to_string()]));
    assert!(
        paths.lines().count() > 15 && paths.contains("godwit-quantize.1"),
        "{paths}"
    );
    assert!(to.join("godwit-doctor.1").exists());
}
