//! Work that is cut short: what is saved, and what is said.

use super::*;

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
