//! A conversation in a terminal, at two widths.

use super::prompts::lines;
use super::*;

#[test]
fn parameters_are_set_and_shown() {
    for columns in WIDTHS {
        let mut terminal = Terminal::chat_at(columns, "-n 4 --system Short.");
        for (line, says) in [
            ("/set temperature 0.5", "temperature is 0.5 now."),
            ("/set parameter top_k 40", "top_k is 40 now."),
            ("/set top_p 7", "above 0 and at most 1"),
            ("/set min_p 0.1", "min_p is 0.1 now."),
            ("/set seed 7", "seed is 7 now."),
            (
                "/set tokens -1",
                "tokens is -1 (to the end of the turn) now.",
            ),
            ("/set system Be kind.", "the conversation goes on"),
            ("/set colour red", "there is no parameter colour"),
            ("/set seed", "it is set to a whole number"),
            ("/set context 512", "The context is 512 tokens now"),
            ("/set context 9m", "The context stays 512 tokens."),
            // The title in the metadata is that of a training run.
            ("/show", "SmolLM2-135M-Instruct.Q4_1.gguf"),
            ("/show", "Be kind."),
            ("/system", "Be kind."),
            ("/foo", "Unknown command /foo. Type /help."),
            ("/sytem x", "Did you mean /system?"),
            ("/?", "/exit, /bye, /quit"),
        ] {
            terminal.type_line(line);
            terminal.expect(says);
            terminal.expect_prompt();
        }
        terminal.type_line("/bye");
        terminal.ends(0);
    }
}

#[test]
fn commands_are_completed_and_hinted() {
    for columns in WIDTHS {
        let mut terminal = Terminal::chat_at(columns, "-n 4");
        terminal.type_text("/sy");
        // The rest of the command, and what it does, in a dim colour.
        terminal.expect("\u{1b}[2mstem [TEXT]");
        terminal.type_text("\t");
        terminal.expect("/system ");
        terminal.type_line("Be kind.");
        terminal.expect("the conversation goes on");
        terminal.expect_prompt();
        terminal.type_text("/set temp\t0.5\r");
        terminal.expect("temperature is 0.5 now.");
        terminal.expect_prompt();
        terminal.press_ctrl('d');
        terminal.ends(0);
    }
}

#[test]
fn questions_are_edited_and_answers_copied() {
    for columns in WIDTHS {
        // An editor that changes a word, and a clipboard that is a file.
        let line = format!(
            "mkdir bin; printf '#!/bin/sh\\ncat >clipboard\\n' >bin/xclip; chmod +x bin/xclip; \
             export PATH=$PWD/bin:$PATH DISPLAY=:9 EDITOR='sed -i s/France/Italy/'; unset \
             WAYLAND_DISPLAY VISUAL; {}",
            chat("-n 8")
        );
        let mut terminal = Terminal::open(columns, &line);
        terminal.expect_prompt();
        terminal.type_line("/copy");
        terminal.expect("There is no answer to copy.");
        terminal.expect_prompt();
        terminal.type_line("What is the capital of France?");
        terminal.expect_prompt();
        terminal.type_line("/edit");
        terminal.expect("> What is the capital of Italy?");
        terminal.expect_prompt();
        terminal.type_line("/edit");
        terminal.expect("nothing is sent");
        terminal.expect_prompt();
        terminal.type_line("/copy");
        terminal.expect("to the clipboard (xclip).");
        terminal.expect_prompt();
        let messages = terminal.saved();
        assert_eq!(
            (messages.len(), &*messages[0]),
            (2, "What is the capital of Italy?")
        );
        let copied = std::fs::read_to_string(terminal.path("clipboard")).expect("a clipboard");
        assert_eq!(copied, messages[1]);
        terminal.type_line("/undo");
        terminal.expect("0 messages are left");
        terminal.expect_prompt();
        terminal.type_line("/quit");
        terminal.ends(0);
    }
}

#[test]
fn transcripts_are_loaded_and_resumed() {
    for columns in WIDTHS {
        let line = format!(
            "{}; echo again; {}",
            chat("-n 6 --save talk.kv").replacen("exec ", "", 1),
            chat("-n 6 --resume ~/talk.json"),
        );
        let mut terminal = Terminal::open(columns, &line);
        terminal.expect_prompt();
        terminal.type_line("What is the capital of France?");
        terminal.expect_prompt();
        // A tilde is the home folder, and an existing file of another kind stays.
        for (line, says) in [
            ("/save ~/talk.json", "a transcript."),
            ("/save", "Saved 2 messages to "),
            ("/save line", "it exists already"),
            ("/save talk.kv", "name another file"),
            ("/load line", "not a transcript"),
            ("/load none", "none"),
            ("/load ~/talk.json", "/switch main goes back"),
            ("/forks", "* talk: 2 messages"),
            ("/clear", "Conversation cleared."),
        ] {
            terminal.type_line(line);
            terminal.expect(says);
            terminal.expect_prompt();
        }
        terminal.type_line("/switch main");
        terminal.expect("with 2 messages");
        terminal.expect_prompt();
        terminal.press_ctrl('d');
        terminal.expect("again");
        // The last exchange is shown.
        terminal.expect("> What is the capital of France?");
        terminal.expect("The capital of");
        terminal.expect_prompt();
        // A snapshot has a conversation too.
        terminal.type_line("/load talk.kv");
        terminal.expect("Loaded 2 messages from the snapshot talk.kv.");
        terminal.expect_prompt();
        terminal.press_ctrl('d');
        terminal.ends(0);
    }
}

#[test]
fn lines_are_joined_and_pasted() {
    for columns in WIDTHS {
        let mut terminal = Terminal::chat_at(columns, "-n 2");
        // Alt-Enter and Ctrl-J begin a line; pasted lines are one message, also where the first
        // looks like a command.
        for keys in [
            "one\u{1b}\rtwo\nthree\r",
            "\u{1b}[200~/usr is\na folder\r\nof \"x\"\u{1b}[201~\r",
            "\"\"\"four\"\"\"\r",
            "/etc/passwd is a file\r",
        ] {
            terminal.type_text(keys);
            terminal.expect("(stopped after 2 tokens");
            terminal.expect_prompt();
        }
        terminal.type_text("\"\"\"open\r");
        terminal.expect(". ");
        terminal.press_ctrl('c');
        terminal.expect("(not sent");
        terminal.expect_prompt();
        terminal.press_ctrl('c');
        terminal.expect("(Ctrl-D or /exit leaves the chat)");
        terminal.expect_prompt();
        let messages = terminal.saved();
        let sent: Vec<&str> = messages.iter().step_by(2).map(String::as_str).collect();
        assert_eq!(
            sent,
            [
                "one\ntwo\nthree",
                "/usr is\na folder\nof \"x\"",
                "four",
                "/etc/passwd is a file"
            ]
        );
        terminal.press_ctrl('d');
        terminal.ends(0);
    }
}

/// An answer in lines that break between words is the same answer as in a pipe.
#[test]
fn answers_wrap_at_the_terminal_s_width() {
    const QUESTION: &str = "Why is the sky blue? Answer in two sentences.";
    let piped = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["run", &model(), QUESTION, "--temp", "0", "-n", "60"])
        .env("GODWIT_CONFIG", "")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the command starts");
    let piped = String::from_utf8(piped.stdout).expect("UTF-8");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(piped.len() > 150 && !piped.contains('\u{1b}'), "{piped}");
    for columns in WIDTHS {
        for (options, is_wrapped) in [("", true), ("--plain", false)] {
            let mut terminal = Terminal::chat_at(columns, &format!("-n 60 {options}"));
            terminal.type_text(QUESTION);
            terminal.type_text("\r");
            // The line editor ends the line that was typed.
            terminal.expect("\u{1b}[?2004l");
            let shown = terminal.expect("(stopped after 60 tokens");
            let shown = lines(&shown);
            let shown: Vec<&str> = shown.iter().map(|line| line.trim_end()).collect();
            let text = shown.join("\n");
            let longest = shown.iter().map(|line| line.chars().count()).max();
            assert_eq!(words(&text), words(&piped), "{text:?}");
            assert_eq!(
                longest.is_some_and(|longest| longest <= columns),
                is_wrapped,
                "{text}"
            );
            terminal.expect_prompt();
            terminal.press_ctrl('d');
            terminal.ends(0);
        }
    }
}

#[test]
fn keys_are_not_shown_while_an_answer_streams() {
    for columns in WIDTHS {
        let mut terminal = Terminal::chat_at(columns, "-n 60 --logit-bias 2=-inf --plain");
        terminal.type_line("Count to a hundred.");
        terminal.expect("\u{1b}[?2004l");
        terminal.expect(" ");
        terminal.type_text("/XYZZY\r");
        let answer = terminal.expect("(stopped after 60 tokens");
        assert!(!answer.contains("XYZZY"), "{answer:?}");
        // They wait for the prompt, the Enter key among them.
        terminal.expect("Unknown command /XYZZY");
        terminal.expect_prompt();
        terminal.press_ctrl('d');
        terminal.ends(0);
    }
}

#[test]
fn a_prompt_that_is_stopped_leaves_the_chat_and_timings_are_shown() {
    for columns in WIDTHS {
        let system = "one two three four ".repeat(400);
        let mut terminal =
            Terminal::chat_at(columns, &format!("-n 4 --verbose --system '{system}'"));
        terminal.type_line("Count to a hundred.");
        terminal.expect("reading");
        terminal.press_ctrl('c');
        terminal.expect("(stopped; the message was not answered)");
        terminal.expect_prompt();
        terminal.type_line("/system -");
        terminal.expect_prompt();
        terminal.type_line("Hello.");
        terminal.expect("(prompt: ");
        terminal.expect("; answer: 4 tokens in ");
        terminal.expect_prompt();
        terminal.press_ctrl('d');
        terminal.ends(0);
    }
}

/// The log gets answers alone; what a person types is drawn on the terminal.
#[test]
fn a_log_has_no_escape_codes() {
    for columns in WIDTHS {
        let line = format!("{} | tee log", chat("-n 8").replacen("exec ", "", 1));
        let mut terminal = Terminal::open(columns, &line);
        terminal.expect_prompt();
        terminal.type_line("What is the capital of France?");
        // The prompt may overtake what is still in the pipe.
        terminal.expect_prompt();
        terminal.type_line("/exit");
        terminal.ends(0);
        let log = std::fs::read_to_string(terminal.path("log")).expect("a log");
        assert_eq!(log, "The capital of France is Paris.\n");
    }
}

#[test]
fn colours_are_not_for_everyone() {
    for columns in WIDTHS {
        for variable in ["NO_COLOR=1", "TERM=dumb"] {
            let line = format!("export {variable}; {}", chat("-n 8"));
            let mut terminal = Terminal::open(columns, &line);
            terminal.expect("> ");
            terminal.type_text("What is the capital of France?\r");
            let before = terminal.expect("The capital of");
            terminal.expect("> ");
            terminal.press_ctrl('d');
            let after = terminal.expect("code 0");
            let is_colour = |text: &str| text.contains("\u{1b}[32m") || text.contains("\u{1b}[2m");
            assert!(
                !is_colour(&before) && !is_colour(&after),
                "{variable}: {before:?}"
            );
            assert!(
                variable == "NO_COLOR=1" || !before.contains('\u{1b}'),
                "{before:?}"
            );
        }
    }
}
