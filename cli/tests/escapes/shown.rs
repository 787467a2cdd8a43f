//! Text of a model and of people, in a terminal and in a pipe.

use super::*;

/// As it comes from the terminal: what is printed, with its line ends.
pub(super) fn printed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

#[test]
fn generated_text_is_shown_in_a_terminal_and_unchanged_in_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write(folder.path(), "model.gguf", model().build());
    let options = hostile_tokens();
    let mut args = vec!["run", &model, "-p", "abc"];
    args.extend(options.iter().map(String::as_str));
    let piped = command(folder.path(), &args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    harmless(&piped.stderr, Allowed::Lines, "stderr");
    let raw = String::from_utf8(piped.stdout).expect("UTF-8");
    for evil in [
        "\u{1b}", "\u{7}", "\u{9b}", "\r", "\r\n", "\u{8}", "\0", "\u{202e}",
    ] {
        assert!(
            raw.contains(evil),
            "{evil:?} is in what the model says: {raw:?}"
        );
    }
    let (bytes, code) = in_terminal(command(folder.path(), &args), &[]);
    assert_eq!(code, 0);
    harmless_in_terminal(&bytes, Allowed::Bidi, "run");
    // The output equals the reply, character by character.
    let each = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    let shown: String = raw.replace("\r\n", "\n").chars().map(each).collect();
    assert!(
        printed(&bytes).contains(shown.trim_end()),
        "{shown:?}: {:?}",
        printed(&bytes)
    );
    // As JSON, with the same text.
    args.push("--json");
    let json = command(folder.path(), &args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    harmless(&json.stdout, Allowed::Lines, "--json");
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["text"].as_str(), raw.strip_suffix('\n'));
    assert_eq!(is_harmless(folder.path(), &args), 0);
}

#[test]
fn a_chat_shows_what_is_said_typed_pasted_and_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write(folder.path(), "model.gguf", model().build());
    write(
        folder.path(),
        "godwit/chat_history",
        format!("#V2\n{}\n", EVIL.replace('\r', "")),
    );
    let options = hostile_tokens();
    let mut args = vec!["chat", &model];
    args.extend(options.iter().map(String::as_str));
    let pasted = format!("\u{1b}[200~{EVIL}\u{1b}[201~");
    let up = "\u{1b}[A";
    let system = format!("/system {pasted}\r");
    let save = format!("/save \u{1b}[200~{}\u{1b}[201~\r", EVIL.replace('\r', ""));
    // Of several lines, it would be a message.
    let unknown = format!("/\u{1b}[200~{}\u{1b}[201~\r", EVIL.replace('\r', ""));
    let keys = [
        ("> ", up),
        // What is not drawn is named behind the line.
        (r"(not shown: \u{7} \u{8} \u{1b} ", "\u{3}"),
        ("> ", "abc\r"),
        ("stopped after 48", ""),
        ("> ", &system),
        ("goes on", ""),
        ("> ", "/system\r"),
        ("FORGED", ""),
        ("> ", &save),
        ("Saved 3 messages to ", ""),
        ("> ", &unknown),
        ("Unknown command", ""),
        ("> ", "\u{12}end"),
        ("end", "\u{7}"),
        ("> ", "\u{3}"),
        ("> ", "/stats\r"),
        ("memory", ""),
        ("> ", "\u{4}"),
    ];
    let (bytes, code) = in_terminal(command(folder.path(), &args), &keys);
    assert_eq!(code, 0, "{:?}", printed(&bytes));
    harmless_in_terminal(&bytes, Allowed::Bidi, "chat");
    // Messages that come by a pipe.
    let mut script = command(folder.path(), &args);
    let file = std::fs::File::open(write(
        folder.path(),
        "script",
        format!("/{EVIL}\n/system {EVIL}\n/system\n/system -\nabc\n"),
    ));
    let output = script
        .stdin(file.expect("the script"))
        .output()
        .expect("the command starts");
    harmless(&output.stderr, Allowed::Lines, "chat, piped");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains('\u{1b}'));
}

/// Every command that reads a model, on one that runs.
#[test]
fn every_command_shows_a_hostile_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let name = format!("{EVIL}.gguf");
    write(at, &name, model().build());
    write(at, EVIL, "abcdefgh".repeat(40));
    let model = name.as_str();
    let text = ["-f", EVIL, "--context", "16", "--chunks", "2"];
    let all: [&[&str]; 15] = [
        &["inspect", model],
        &["inspect", model, "--json"],
        &["show", model],
        &["show", model, "--json"],
        &["tokenize", model, "-p", "abc"],
        &["tokenize", model, "-p", "abc", "--json"],
        &["doctor", model, "-vv"],
        &["doctor", model, "--json"],
        &[
            "perplexity",
            model,
            text[0],
            text[1],
            text[2],
            text[3],
            text[4],
            text[5],
        ],
        &[
            "imatrix",
            model,
            "-o",
            "imatrix\u{1b}]0;x\u{7}.gguf",
            text[0],
            text[1],
            text[2],
            text[3],
        ],
        &[
            "imatrix",
            model,
            "-o",
            "imatrix\u{1b}]0;x\u{7}.gguf",
            text[0],
            text[1],
            text[2],
            text[3],
            "--force",
            "--json",
        ],
        &[
            "quantize",
            model,
            "out\u{1b}]0;x\u{7}.gguf",
            "--type",
            "q8_0",
            "--force",
        ],
        &[
            "quantize",
            model,
            "out\u{9b}2J.gguf",
            "--type",
            "q8_0",
            "--force",
            "--json",
        ],
        &["bench", model, "-p", "8", "-n", "2", "-r", "1"],
        &["bench", model, "-p", "8", "-n", "2", "-r", "1", "--json"],
    ];
    for args in all {
        assert_eq!(is_harmless(at, args), 0, "{args:?}");
    }
}
