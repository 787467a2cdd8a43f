//! What goes in: prompts, files and stdin.

use super::*;

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
