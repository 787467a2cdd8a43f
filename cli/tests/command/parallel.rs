//! `run --parallel`: files of prompts, answered many at once.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// The answers by line. Each line has one.
pub(super) fn answers(text: &str) -> BTreeMap<u64, Value> {
    let mut answers = BTreeMap::new();
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).expect("JSON");
        let number = answer["line"].as_u64().expect("a number");
        assert!(answers.insert(number, answer).is_none(), "{text}");
    }
    answers
}

fn read(path: &str) -> BTreeMap<u64, Value> {
    answers(&std::fs::read_to_string(path).expect("answers"))
}

/// A folder with a small model in it, and paths there.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.put("tiny.gguf", tiny());
        place
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), content).expect("a file");
        self.path(name)
    }

    /// The arguments that answer a file with the small model.
    pub(super) fn args<'a>(&self, model: &'a str, file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = [
            "run",
            model,
            "--raw",
            "--temp",
            "0",
            "--deterministic",
            "--parallel",
            file,
        ];
        [&fixed[..], more].concat()
    }
}

/// Prompts of a few letters each.
pub(super) fn letters(count: usize, tokens: usize) -> String {
    let prompt = |at: usize| {
        let (first, second) = (b'a' + (at % 26) as u8, b'a' + (at / 26 % 26) as u8);
        let text = [first, second].map(char::from).iter().collect::<String>();
        format!("{{\"prompt\": \"{text}\", \"id\": {at}, \"max_tokens\": {tokens}}}\n")
    };
    (0..count).map(prompt).collect()
}

#[test]
fn answers_are_those_of_one_by_one() {
    let place = Place::new();
    let system = "You answer each question in one short sentence, and you never use lists. ";
    let system = system.repeat(6);
    let questions = [
        "What is the capital of France?",
        "Name three birds.",
        "Count to ten.",
        "What is 2 + 2?",
        "Where do godwits live?",
    ];
    let lines = questions.map(|question| format!("{{\"prompt\": {question:?}, \"id\": \"x\"}}\n"));
    let file = place.put("prompts.jsonl", lines.concat());
    let common = ["--temp", "0", "-n", "10", "--system", &system];
    let model = model();
    let batch = [
        "run",
        &model,
        "--parallel",
        &file,
        "--at-once",
        "2",
        "--deterministic",
    ];
    let output = godwit(&[&batch[..], &common].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("answers: 5, failures: 0"), "{stderr}");
    let answers = answers(&stdout(&output));
    assert_eq!(answers.len(), questions.len());
    for (line, question) in (1..).zip(questions) {
        let one = godwit(&[&["run", &model, "-p", question, "--json"][..], &common].concat());
        let one: Value = serde_json::from_str(&stdout(&one)).expect("JSON");
        let answer = &answers[&line];
        assert_eq!(answer["text"], one["text"], "{question}");
        assert_eq!(answer["id"], "x");
        let reason = match one["stop_reason"].as_str() {
            Some("end_of_turn") => "stop",
            _ => "length",
        };
        assert_eq!(answer["finish_reason"], reason);
        let usage = &answer["usage"];
        assert_eq!(usage["prompt_tokens"], one["prompt_tokens"]);
        assert_eq!(usage["completion_tokens"], one["generated_tokens"]);
        // The system message is computed once.
        let cached = usage["cached_tokens"].as_u64().expect("a number");
        assert_eq!(cached > 0, line > 1, "line {line}: {answer}");
    }
}

#[test]
fn lines_differ_from_the_options_and_come_from_stdin() {
    let lines = [
        r#"{"prompt": "What is the capital of France?", "max_tokens": 3}"#,
        "",
        r#"{"messages": [{"role": "user", "content": "What is the capital of France?"}],
           "stop": ["Paris"]}"#,
        r#"{"prompt": "Hello", "temperature": 1.5, "seed": 3}"#,
        r#"{"prompt": "Hello", "temperature": 1.5, "seed": 3}"#,
        r#"{"prompt": "Hello", "temperature": 1.5}"#,
        r#"{"prompt": "Hello", "temperature": 1.5}"#,
    ];
    let input = lines.map(|line| line.replace('\n', " ") + "\r\n").concat();
    let args = [
        "--temp",
        "0",
        "-n",
        "12",
        "--deterministic",
        "--seed",
        "1",
        "--parallel",
        "-",
    ];
    let output = with_input(&[&["run", &model()][..], &args].concat(), input.as_bytes());
    let answers = answers(&stdout(&output));
    assert_eq!(answers.len(), 6);
    let text = |line: u64| answers[&line]["text"].as_str().expect("a text");
    assert_eq!(
        (text(1), &answers[&1]["finish_reason"]),
        ("The capital of", &"length".into())
    );
    assert_eq!(
        (text(3), &answers[&3]["finish_reason"]),
        ("The capital of France is ", &"stop".into())
    );
    assert_eq!(text(4), text(5), "the same seed");
    assert_ne!(text(6), text(7), "each line has its own seed");
}

/// Waits until a file has some whole lines.
fn wait_for_lines(path: &str, lines: usize) {
    let has = || std::fs::read_to_string(path).is_ok_and(|text| text.lines().count() > lines);
    let tries = (0..1200).find(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        has()
    });
    assert!(tries.is_some(), "no answers come");
}

/// Signals the command in the middle of its work. Returns its end.
#[cfg(unix)]
fn stopped_in_the_middle(args: &[&str], output: &str, signal: &str) -> Output {
    let child = command(args).spawn().expect("the command starts");
    wait_for_lines(output, 3);
    let status = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
    child.wait_with_output().expect("it ends")
}

#[cfg(unix)]
#[test]
fn what_was_stopped_goes_on() {
    let place = Place::new();
    let (model, all) = (place.path("tiny.gguf"), 150);
    let file = place.put("prompts.jsonl", letters(all, 20));
    let whole = answers(&stdout(&godwit(&place.args(&model, &file, &[]))));
    assert_eq!(whole.len(), all);

    let killed = place.path("killed.jsonl");
    let args = place.args(&model, &file, &["-o", &killed, "--at-once", "4"]);
    assert!(
        !stopped_in_the_middle(&args, &killed, "KILL")
            .status
            .success()
    );
    assert!(read(&killed).len() < all, "it was killed too late");
    // As on a disk that was full.
    let mut text = std::fs::read(&killed).expect("answers");
    text.extend(br#"{"line":150,"id":1"#);
    std::fs::write(&killed, text).expect("a file");
    let again = godwit(&args);
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(stderr.contains("the last line was cut off"), "{stderr}");
    assert!(
        stderr.contains("of 150 lines are answered already"),
        "{stderr}"
    );
    assert!(stdout(&again).is_empty());
    assert_eq!(read(&killed), whole_but_cache(&whole, &read(&killed)));

    let interrupted = place.path("interrupted.jsonl");
    let args = place.args(&model, &file, &["-o", &interrupted, "--at-once", "4"]);
    let output = stopped_in_the_middle(&args, &interrupted, "INT");
    fails(&output, 130, "the same command goes on from there");
    let done = read(&interrupted).len();
    assert!(done < all, "it was stopped too late");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains(&format!("({done} of 150 lines are answered")),
        "{stderr}"
    );
    assert!(godwit(&args).status.success());
    assert_eq!(
        read(&interrupted),
        whole_but_cache(&whole, &read(&interrupted))
    );
    // Nothing is left to do: no model is needed.
    std::fs::remove_file(&model).expect("a file");
    assert!(godwit(&args).status.success());
}

/// The answers with the numbers of cached tokens of others, which depend on the order.
pub(super) fn whole_but_cache(
    whole: &BTreeMap<u64, Value>,
    others: &BTreeMap<u64, Value>,
) -> BTreeMap<u64, Value> {
    let mut whole = whole.clone();
    for (line, answer) in &mut whole {
        answer["usage"]["cached_tokens"] = others[line]["usage"]["cached_tokens"].clone();
    }
    whole
}

#[test]
fn wrong_lines_are_reported_before_anything_is_loaded() {
    let place = Place::new();
    let none = place.path("none.gguf");
    for (line, says) in [
        ("{\"prompt\": \"a\"", "line 2: it is not JSON"),
        ("[1]", "line 2: it is [1], not an object"),
        (
            r#"{"prompt": "a", "max_token": 3}"#,
            "unknown key `max_token`",
        ),
        (r#"{"prompt": ""}"#, "line 2: `prompt` is empty"),
        (r#"{"prompt": "a", "seed": -1}"#, "line 2: `seed` is -1"),
        (r#"{"prompt": "a", "top_p": 3}"#, "top_p"),
        (
            r#"{"messages": [{"role": "user", "content": "a"}]}"#,
            "--raw",
        ),
        ("\u{1b}[2J", "line 2: it is not JSON"),
    ] {
        let text = format!("{{\"prompt\": \"a\"}}\n{line}\n");
        let file = place.put("prompts.jsonl", &text);
        let more = ["-o", &place.path("out.jsonl")];
        fails(&godwit(&place.args(&none, &file, &more)), 3, says);
        fails(
            &with_input(&place.args(&none, "-", &more), text.as_bytes()),
            3,
            says,
        );
        assert!(!Path::new(&place.path("out.jsonl")).exists());
    }
    let file = place.put("prompts.jsonl", b"{\"prompt\": \"\xff\"}");
    fails(&godwit(&place.args(&none, &file, &[])), 3, "not UTF-8");
    let missing = place.path("missing.jsonl");
    fails(
        &godwit(&place.args(&none, &missing, &[])),
        3,
        "missing.jsonl",
    );
    let file = place.put("prompts.jsonl", letters(1, 1));
    for more in [
        &["--kv", "q4_0"][..],
        &["-p", "x"],
        &["--save", "x.kv"],
        &["--resume", "x.kv"],
        &["--spill-dir", "x"],
        &["--at-once", "65"],
    ] {
        fails(&godwit(&place.args(&none, &file, more)), 2, "--");
    }
    fails(
        &godwit(&["run", &none, "-p", "x", "-o", "y"]),
        2,
        "--parallel",
    );
}

#[test]
fn outputs_of_others_stay_as_they_are() {
    let place = Place::new();
    let model = place.path("tiny.gguf");
    let file = place.put("prompts.jsonl", letters(2, 2));
    let out = place.path("out.jsonl");
    assert!(
        godwit(&place.args(&model, &file, &["-o", &out]))
            .status
            .success()
    );
    let answered = std::fs::read(&out).expect("answers");
    let other = place.put("other.jsonl", letters(3, 1));
    let notes = place.put("notes.txt", "notes");
    let no_answer = place.put("no_answer.jsonl", "{\"line\":1}\n");
    let no_end = place.put("no_end.jsonl", [&answered[..], b"notes"].concat());
    let missing = place.path("no/folder.jsonl");
    let folder = place.0.path().display().to_string();
    for (input, output, says) in [
        (&other, &out, "line 1 answers another prompt"),
        (&file, &file, "prompts.jsonl"),
        (&file, &model, "a GGUF model"),
        (&file, &notes, "begins with \"notes\""),
        (&file, &no_answer, "line 1 is no answer"),
        (&file, &no_end, "line 3 is no answer"),
        (&file, &missing, "a folder that exists"),
        (&file, &folder, "it is a folder"),
    ] {
        let before = std::fs::read(output).ok();
        fails(
            &godwit(&place.args(&model, input, &["-o", output])),
            1,
            says,
        );
        assert_eq!(std::fs::read(output).ok(), before);
    }
    // Two commands at once would answer everything twice.
    let held = std::fs::File::open(&out).expect("a file");
    held.lock().expect("a lock");
    fails(
        &godwit(&place.args(&model, &file, &["-o", &out])),
        1,
        "another process",
    );
}

#[test]
fn lines_that_failed_are_tried_again() {
    let place = Place::new();
    let model = place.path("tiny.gguf");
    let long = "ab".repeat(40);
    let lines = format!("{{\"prompt\": \"{long}\"}}\n{}", letters(2, 2));
    let file = place.put("prompts.jsonl", lines);
    let out = place.path("out.jsonl");
    let output = godwit(&place.args(&model, &file, &["-n", "2", "-o", &out, "--context", "64"]));
    fails(&output, 1, "1 of 3 lines were not answered");
    let first = read(&out);
    assert!(
        first[&1]["error"].is_string() && first[&1]["text"].is_null(),
        "{first:?}"
    );
    assert!(first[&3]["text"].is_string());
    let output = godwit(&place.args(&model, &file, &["-n", "2", "-o", &out]));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("tried again, and removed: 1"), "{stderr}");
    assert!(output.status.success(), "{stderr}");
    let second = read(&out);
    assert!(
        second[&1]["text"].is_string() && second[&1]["error"].is_null(),
        "{second:?}"
    );
    assert_eq!(second[&3], first[&3]);
}

#[test]
fn a_long_prompt_is_read_from_disk() {
    let place = Place::new();
    let (model, folder) = (place.path("tiny.gguf"), place.path("cache"));
    let letters: String = ('a'..='z').cycle().take(20_000).collect();
    let file = place.put("prompts.jsonl", format!("{{\"prompt\": \"{letters}\"}}\n"));
    let args = ["run", &model, "--raw", "--temp", "0", "--parallel", &file];
    let more = ["-n", "8", "--window", "32k", "--cache-dir", &folder];
    let answer = || {
        let output = godwit(&[&args[..], &more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("failures: 0"), "{stderr}");
        answers(&stdout(&output)).remove(&1).expect("an answer")
    };
    let [first, second] = [answer(), answer()];
    assert_eq!(first["text"], second["text"]);
    let [cached, again] = [&first, &second].map(|one| one["usage"]["cached_tokens"].as_u64());
    assert_eq!(cached, Some(0));
    assert!(again >= Some(4096), "{second}");
    let [prompt, same] = [&first, &second].map(|one| &one["usage"]["prompt_tokens"]);
    assert_eq!(prompt, same);
}
