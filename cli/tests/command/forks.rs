//! Conversations that go back, and that branch: `/undo`, `/retry`, `/fork`, `/switch`.

use super::*;

/// A chat over a pipe: the objects of its answers, its stderr, and what `/save` wrote to files that
/// the lines name with `FOLDER/NAME.json`.
struct Chat {
    turns: Vec<Value>,
    stderr: String,
    folder: tempfile::TempDir,
}

impl Chat {
    fn of(options: &[&str], lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().to_str().expect("a path");
        let input = lines.join("\n").replace("FOLDER", place);
        let model = model();
        let args = [&["chat", &model, "--no-cache", "--json"][..], options].concat();
        let output = with_input(&args, input.as_bytes());
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let turn = |line| serde_json::from_str(line).expect("JSON");
        Self {
            turns: stdout.lines().map(turn).collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            folder,
        }
    }

    fn text(&self, turn: usize) -> &str {
        self.turns[turn]["text"].as_str().expect("a text")
    }

    /// The messages that were saved: the text of each.
    fn saved(&self, name: &str) -> Vec<String> {
        let file = std::fs::read(self.folder.path().join(name)).expect("a saved file");
        let saved: Value = serde_json::from_slice(&file).expect("JSON");
        let messages = saved["messages"].as_array().expect("messages").iter();
        let text = |message: &Value| message["content"].as_str().expect("a text").to_owned();
        messages.map(text).collect()
    }

    #[track_caller]
    fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "{}", self.stderr);
    }
}

#[test]
fn a_chat_goes_back_and_branches() {
    let (france, italy, spain) = (
        "What is the capital of France?",
        "And of Italy?",
        "And of Spain?",
    );
    let chat = Chat::of(
        &["--temp", "0", "-n", "12", "--system", "Be brief."],
        &[
            "/undo",
            "/retry",
            france,
            "/retry",
            "/fork side",
            italy,
            "/undo",
            spain,
            "/save FOLDER/side.json",
            "/forks",
            "/switch main",
            "/save FOLDER/main.json",
            italy,
            "/switch side",
            "/save FOLDER/again.json",
            "/switch none",
            "/fork side",
            "/fork",
            "/undo",
            "/undo",
            "/save FOLDER/empty.json",
        ],
    );
    assert_eq!(chat.turns.len(), 5, "{}", chat.stderr);
    chat.says("There is nothing to undo.");
    chat.says("There is no answer to generate anew.");
    chat.says("the answer will be the same");
    assert_eq!(chat.text(0), chat.text(1));
    // Of the same prompt, only the last token is computed again: logits come from it.
    assert_eq!(chat.turns[1]["prompt_tokens"], 1);
    chat.says("This is side now, a copy of main");
    chat.says("Removed \"And of Italy?\" and its answer; 3 messages are left.");
    chat.says("* side: 5 messages, And of Spain?");
    chat.says("  main: 3 messages, What is the capital of France?");
    let side = ["Be brief.", france, chat.text(1), spain, chat.text(3)];
    assert_eq!(chat.saved("side.json"), side);
    assert_eq!(chat.saved("main.json"), side[..3]);
    assert_eq!(chat.saved("again.json"), side);
    // The branch goes on as the other one did, and what they share is not computed again.
    assert_eq!(chat.text(2), chat.text(4));
    let number = |turn: usize, what: &str| chat.turns[turn][what].as_u64().expect("a number");
    let first = number(0, "prompt_tokens") + number(0, "reused_tokens");
    for turn in [2, 3, 4] {
        assert!(number(turn, "reused_tokens") >= first, "{:?}", chat.turns);
        assert!(number(turn, "prompt_tokens") < 20, "{:?}", chat.turns);
    }
    chat.says("there is no conversation none; there are: main, side");
    chat.says("there is a conversation side already");
    chat.says("This is 2 now, a copy of side");
    assert_eq!(chat.saved("empty.json"), ["Be brief."]);
}

#[test]
fn another_answer_takes_the_place_of_the_last() {
    let options = ["--temp", "1.5", "--seed", "1", "-n", "8"];
    let chat = Chat::of(
        &options,
        &["Tell me a story.", "/retry", "/save FOLDER/a.json"],
    );
    assert_ne!(chat.text(0), chat.text(1));
    assert_eq!(chat.saved("a.json"), ["Tell me a story.", chat.text(1)]);
    assert!(!chat.stderr.contains("will be the same"), "{}", chat.stderr);
}

#[test]
fn an_answer_stays_where_no_other_comes() {
    let long = format!("/system {}", "word ".repeat(300));
    let chat = Chat::of(
        &["--temp", "0", "-n", "4", "--context", "128"],
        &["Hello", &long, "/retry", "/system -", "/save FOLDER/a.json"],
    );
    chat.says("(the earlier answer stays)");
    assert_eq!(chat.saved("a.json"), ["Hello", chat.text(0)]);
}
