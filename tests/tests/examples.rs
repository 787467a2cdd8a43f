//! The examples of the crate `godwit` run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use godwit_tests::model::fixture;

/// A built example. `cargo test` builds all of them, `cargo test --test examples` does not.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target folder");
    let path = folder
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{}: run `cargo build --workspace --examples`",
        path.display()
    );
    path
}

/// Runs an example with the test model, other arguments, and lines on stdin. Returns what it writes
/// to stdout and to stderr.
fn run(name: &str, arguments: &[&str], lines: &str) -> (String, String) {
    let mut child = Command::new(example(name))
        .arg(fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // An example that reads no input may be gone.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let error = text(&output.stderr);
    assert!(output.status.success(), "{name}: {error}");
    (text(&output.stdout), error)
}

#[test]
fn hello_says_what_the_capital_is() {
    let (text, _) = run("hello", &[], "");
    assert!(text.contains("Paris"), "{text}");
    // The turn ends: the model does not go on with a question of its own.
    assert!(text.len() < 500, "{text}");
}

#[test]
fn chat_reads_only_what_is_new() {
    let (text, error) = run("chat", &[], "My name is Ada.\nWhat is my name?\n");
    assert_eq!(
        text.lines().filter(|line| !line.is_empty()).count(),
        2,
        "{text}"
    );
    let known: Vec<usize> = error
        .lines()
        .filter_map(|line| line.strip_prefix('(')?.split(' ').next()?.parse().ok())
        .collect();
    assert!(known[0] == 0 && known[1] > 30, "{error}");
}

#[test]
fn another_thread_cancels_an_answer() {
    let (text, _) = run("cancel", &[], "");
    assert!(
        text.contains("railway") && text.ends_with("(cancelled)\n"),
        "{text}"
    );
}

#[test]
fn a_document_is_read_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (text, snapshot) = (path("text.txt"), path("snapshot.kv"));
    let bridge = "The bridge of Kolm was built in 1874 by Ira Venn. It is green.";
    std::fs::write(&text, bridge).expect("a file");
    let ask = || run("document", &[&text, &snapshot, "Who built the bridge?"], "");
    let (first, computed) = ask();
    assert!(
        first.contains("Venn") && computed.contains("computed"),
        "{first} {computed}"
    );
    assert!(Path::new(&snapshot).exists());
    let (second, resumed) = ask();
    assert_eq!(first, second);
    assert!(resumed.contains("from "), "{resumed}");
}

#[test]
fn a_model_inside_an_archive_is_loaded() {
    let (text, _) = run("archive", &[], "");
    assert!(text.contains("Paris"), "{text}");
}
