//! The command in a real terminal: signals, and what a person typed.
#![cfg(unix)]

mod conversation;
mod person;
mod prompts;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::ReadUntil;
use rexpect::session::{PtySession, spawn_command};

use person::{PATIENCE, Terminal, WIDTHS, chat, model};

#[test]
fn a_termination_signal_at_the_prompt_saves_and_restores_the_terminal() {
    for (columns, signal, code) in [(100, "TERM", 143), (40, "HUP", 129)] {
        let mut terminal = Terminal::chat_at(columns, "-n 8 --save talk.kv");
        terminal.type_line("What is the capital of France?");
        terminal.expect("The capital");
        terminal.expect_prompt();
        terminal.type_text("half a mess");
        terminal.signal(signal);
        // A second one must not cut the saving short; the chat may have ended before it comes.
        let pid = std::fs::read_to_string(terminal.path("pid")).expect("the chat's process");
        let _ = Command::new("kill")
            .args(["-s", signal, pid.trim()])
            .output();
        terminal.ends(code);
        assert!(std::fs::metadata(terminal.path("talk.kv")).is_ok_and(|file| file.len() > 100_000));
    }
}

#[test]
fn a_termination_signal_in_an_answer_saves_it() {
    for columns in WIDTHS {
        let options = "-n 500 --save talk.kv --logit-bias 2=-inf";
        let mut terminal = Terminal::chat_at(columns, options);
        terminal.type_line("Count to a hundred.");
        terminal.expect("\n");
        terminal.expect(" ");
        terminal.signal("TERM");
        terminal.ends(143);
        assert!(std::fs::metadata(terminal.path("talk.kv")).is_ok_and(|file| file.len() > 100_000));
    }
}

/// The window of the terminal is closed: nothing can be read from it or written to it any more.
#[test]
fn a_terminal_that_is_closed_saves_the_conversation() {
    for columns in WIDTHS {
        let mut terminal = Terminal::chat_at(columns, "-n 8 --save talk.kv");
        terminal.type_line("What is the capital of France?");
        terminal.expect("The capital");
        terminal.expect_prompt();
        let pid = std::fs::read_to_string(terminal.path("pid")).expect("the chat's process");
        let Terminal { shell, folder, .. } = terminal;
        drop(shell);
        let begin = Instant::now();
        // A process that has ended may be a zombie: its parent is gone too.
        let is_alive = || {
            let state = Command::new("ps")
                .args(["-o", "stat=", "-p", pid.trim()])
                .output()
                .expect("ps")
                .stdout;
            !state.is_empty() && !state.starts_with(b"Z")
        };
        while is_alive() {
            let waited = begin.elapsed().as_millis();
            assert!(waited < u128::from(PATIENCE), "the chat did not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        let saved = std::fs::metadata(folder.path().join("talk.kv"));
        assert!(saved.is_ok_and(|file| file.len() > 100_000));
    }
}

#[test]
fn ctrl_c_leaves_what_is_typed_unsent_and_the_history_keeps_it() {
    let mut terminal = Terminal::chat("-n 4");
    // Several lines between quotes, left by Ctrl-C in the middle of one.
    terminal.type_line("\"\"\"first line");
    terminal.expect(". ");
    terminal.type_line("second line");
    terminal.expect(". ");
    terminal.type_text("half a li");
    terminal.press_ctrl('c');
    terminal.expect("(not sent");
    terminal.expect_prompt();
    // The same with a backslash, left by Ctrl-D.
    terminal.type_line("third line\\");
    terminal.expect(". ");
    terminal.press_ctrl('d');
    terminal.expect("(not sent");
    terminal.expect_prompt();
    // One line.
    terminal.type_text("fourth line");
    terminal.press_ctrl('c');
    terminal.expect_prompt();
    assert_eq!(terminal.saved(), Vec::<String>::new());
    // The arrow up, behind the line `/save`: the newest one that was left.
    terminal.type_text("\x1b[A\x1b[A");
    terminal.expect("fourth line");
    terminal.press_ctrl('c');
    terminal.expect_prompt();
    terminal.type_line("/exit");
    terminal.ends(0);
    let history = std::fs::read_to_string(terminal.path("godwit/chat_history")).expect("a history");
    for text in [
        "first line",
        "second line",
        "half a li",
        "third line",
        "fourth line",
    ] {
        assert!(history.contains(text), "{history}");
    }
}

#[test]
fn several_lines_are_one_message_and_the_system_message_wipes_nothing() {
    let mut terminal = Terminal::chat("-n 4 --system Short.");
    terminal.type_line("\"\"\"one\"\"\"");
    terminal.expect("(stopped after 4 tokens; -n N allows more)");
    terminal.expect_prompt();
    terminal.type_line("two\\");
    terminal.expect(". ");
    terminal.type_line("three");
    terminal.expect("(stopped after 4 tokens");
    terminal.expect_prompt();
    terminal.type_line("/system");
    terminal.expect("Short.");
    terminal.expect_prompt();
    terminal.type_line("/system Be kind.");
    terminal.expect("the conversation goes on");
    terminal.expect_prompt();
    let messages = terminal.saved();
    let sent: Vec<&str> = messages.iter().map(String::as_str).collect();
    assert_eq!(
        (sent.len(), sent[0], sent[1], sent[3]),
        (5, "Be kind.", "one", "two\nthree"),
        "{sent:?}"
    );
    terminal.type_line("/system -");
    terminal.expect("no system message");
    terminal.expect_prompt();
    terminal.press_ctrl('d');
    terminal.ends(0);
}

#[test]
fn ctrl_c_stops_an_answer_and_the_chat_goes_on() {
    let mut terminal = Terminal::chat("-n 2000 --logit-bias 2=-inf --save talk.kv");
    terminal.type_line("Count to a hundred.");
    terminal.expect("\n");
    terminal.expect(" ");
    terminal.press_ctrl('c');
    terminal.expect("(stopped)");
    terminal.expect_prompt();
    terminal.type_line("/exit");
    terminal.ends(0);
}

#[test]
fn lines_that_come_at_once_are_all_read() {
    let mut terminal = Terminal::chat("-n 4");
    terminal.type_text("\"\"\"\r/one\rtwo\r\"\"\"\rthree\r/save saved.json\r");
    terminal.expect("Saved 4 messages");
    terminal.expect_prompt();
    let text = std::fs::read(terminal.path("saved.json")).expect("the saved file");
    let saved: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    // Quoted text is a message, however it begins.
    let content = |at: usize| {
        saved["messages"][at]["content"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    assert_eq!(
        (content(0), content(2)),
        ("/one\ntwo".into(), "three".into())
    );
    terminal.type_line("/exit");
    terminal.ends(0);
}

#[test]
fn ctrl_c_twice_in_an_answer_saves_the_conversation() {
    // A prompt of many passes, each far longer than the time between the two signals.
    let system = "one two three four ".repeat(200);
    let mut terminal = Terminal::chat(&format!("-n 4 --save talk.kv --system \"{system}\""));
    terminal.type_line("/save talk.kv");
    terminal.expect("the context is saved there at the end");
    terminal.expect_prompt();
    let stopped_first = |terminal: &mut Terminal| {
        terminal.type_line("Count to a hundred.");
        terminal.expect("reading");
        terminal.signal("INT");
        // Two signals at once would be one.
        std::thread::sleep(std::time::Duration::from_millis(20));
        terminal.signal("INT");
        let ends = ["(stopped)", "code "].map(|text| ReadUntil::String(text.into()));
        terminal.shell.exp_any(ends.into()).expect("an end").1 == "(stopped)"
    };
    // Where the first one was heard between the two, the second one is the prompt's.
    let tries = (1..=10).find(|_| !stopped_first(&mut terminal));
    assert!(tries.is_some(), "the second signal is never heard");
    terminal.expect("130");
    terminal.expect("after ");
    assert!(terminal.path("talk.kv").exists());
}

#[test]
fn a_suspended_chat_goes_on_with_the_line() {
    let mut terminal = Terminal::chat("-n 4");
    terminal.type_text("half a li");
    terminal.expect("half a li");
    terminal.press_ctrl('z');
    // The shell of this test has no job control: the signal to go on comes from elsewhere.
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.signal("CONT");
    terminal.expect("half a li");
    terminal.type_line("ne");
    terminal.expect("(stopped after 4 tokens");
    terminal.expect_prompt();
    assert_eq!(terminal.saved()[0], "half a line");
    terminal.press_ctrl('d');
    terminal.ends(0);
}

/// A context that can't be saved at the end costs no conversation: there is one more prompt.
#[test]
fn a_context_that_cannot_be_saved_does_not_end_the_chat() {
    let mut terminal = Terminal::chat("-n 4 --save folder/talk.kv --system Short.");
    terminal.type_line("What is the capital of France?");
    terminal.expect("(stopped after 4 tokens");
    terminal.expect_prompt();
    std::fs::remove_dir(terminal.path("folder")).expect("an empty folder");
    terminal.type_line("/exit");
    terminal.expect("talk.kv");
    terminal.expect("/save FILE keeps the conversation elsewhere");
    terminal.expect_prompt();
    assert_eq!(terminal.saved().len(), 3);
    std::fs::create_dir(terminal.path("folder")).expect("a folder");
    terminal.press_ctrl('d');
    terminal.ends(0);
    assert!(terminal.path("folder/talk.kv").exists());
}

/// A bar begins empty, and nothing of it is on the screen after Ctrl-C.
#[test]
fn bars_begin_empty_and_end_with_the_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let (godwit, model) = (env!("CARGO_BIN_EXE_godwit"), model());
    let prompt = "one two three four ".repeat(400);
    let script = format!(
        "trap : INT; sh -c 'echo $$ >pid; exec {godwit} run {model} --no-cache --raw -n 1 -p \
         \"{prompt}\"'; \
         echo code $?"
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(&folder)
        .env("TERM", "xterm");
    let mut shell = spawn_command(command, Some(PATIENCE)).expect("a terminal");
    // The terminal's bytes come as Latin-1.
    let block = |c: char| c.to_string().bytes().map(char::from).collect::<String>();
    let (full, empty) = (block('\u{2588}'), block('\u{2591}'));
    for bar in ["loading ", "reading "] {
        shell.exp_string(bar).expect("a bar");
        let first = shell.exp_string("left").expect("the whole bar");
        assert!(
            first.starts_with(&empty) && !first.contains(&full),
            "{bar}: {first:?}"
        );
    }
    let pid = std::fs::read_to_string(folder.path().join("pid")).expect("the process");
    assert!(
        Command::new("kill")
            .args(["-s", "INT", pid.trim()])
            .status()
            .expect("kill")
            .success()
    );
    let rest = shell.exp_string("code 130").expect("the end");
    let last = rest.rsplit_once("left").map_or(&*rest, |(_, last)| last);
    assert!(
        last.contains("\u{1b}[2K") && !last.contains(&empty),
        "{last:?}"
    );
}

/// A warning that comes while a bar is shown stands on a line of its own.
#[test]
fn warnings_stand_beside_bars() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prompt.txt"), "a b c d ".repeat(1100)).expect("a prompt");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let shape = "tiny:q8_0,vocab=512,context=16k";
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command.args([
        "run",
        "--synthetic",
        shape,
        "--raw",
        "-f",
        "prompt.txt",
        "-n",
        "1",
        "--cache-dir",
        "file/x",
    ]);
    command
        .current_dir(&folder)
        .env("TERM", "xterm")
        .env("GODWIT_CONFIG", "")
        .env("XDG_CACHE_HOME", folder.path());
    let mut shell = spawn_command(command, Some(PATIENCE)).expect("a terminal");
    let before = shell.exp_string("warning").expect("a warning");
    assert!(
        before.contains("reading"),
        "no bar is shown yet: {before:?}"
    );
    let line = before.rsplit('\r').next().unwrap_or_default();
    assert_eq!(line, "\u{1b}[2K\u{1b}[33m", "{before:?}");
    let rest = shell.exp_eof().expect("the end");
    // Two blocks, and the folder can't be made for either: that is said once.
    assert!(
        rest.contains("--cache-dir names another folder") && !rest.contains("warning"),
        "{rest:?}"
    );
}
