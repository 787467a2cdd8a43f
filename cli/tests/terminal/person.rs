//! Somebody at a terminal, who types and reads.

use godwit_tests::model::fixture;

use super::*;

/// Milliseconds that a loaded machine may take for an answer.
pub(super) const PATIENCE: u64 = 120_000;

pub(super) fn model() -> String {
    let path = fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    path.display().to_string()
}

/// A shell in a terminal that runs a chat between two prints of the terminal's modes.
pub(super) struct Terminal {
    pub(super) shell: PtySession,
    pub(super) modes: String,
    pub(super) folder: tempfile::TempDir,
}

impl Terminal {
    pub(super) fn chat(args: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("folder")).expect("a folder");
        let (godwit, model) = (env!("CARGO_BIN_EXE_godwit"), model());
        let chat = format!("echo $$ >pid; exec {godwit} chat {model} --temp 0 --no-cache {args}");
        // Ctrl-C goes to the whole terminal; the shell lives on to tell the end.
        let script = format!(
            "trap : INT; echo before $(stty -g); sh -c '{chat}'; echo code $?; echo after $(stty \
             -g)"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .current_dir(&folder)
            .env("XDG_STATE_HOME", folder.path())
            .env("TERM", "xterm");
        let mut shell = spawn_command(command, Some(PATIENCE)).expect("a terminal");
        shell.exp_string("before ").expect("the shell's first line");
        let modes = shell.read_line().expect("the terminal's modes");
        let mut terminal = Self {
            shell,
            modes,
            folder,
        };
        terminal.expect("lists the commands.");
        terminal.expect("> ");
        terminal
    }

    #[track_caller]
    pub(super) fn expect(&mut self, text: &str) -> String {
        self.shell
            .exp_string(text)
            .unwrap_or_else(|error| unreachable!("the terminal shows no {text:?}: {error}"))
    }

    pub(super) fn type_line(&mut self, line: &str) {
        self.type_text(line);
        self.type_text("\r");
    }

    /// Types without the Enter key.
    pub(super) fn type_text(&mut self, text: &str) {
        self.shell.send(text).expect("a terminal that takes input");
        self.shell.flush().expect("a terminal that takes input");
    }

    pub(super) fn press_ctrl(&mut self, key: char) {
        self.shell
            .send_control(key)
            .expect("a terminal that takes input");
    }

    /// Sends a signal to the chat.
    pub(super) fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.path("pid")).expect("the chat's process");
        assert!(
            Command::new("kill")
                .args(["-s", name, pid.trim()])
                .status()
                .expect("kill")
                .success()
        );
    }

    /// Waits for the end of the chat: with this exit code, and the terminal as it was before.
    #[track_caller]
    pub(super) fn ends(&mut self, code: i32) {
        self.expect(&format!("code {code}"));
        self.expect("after ");
        let modes = self.shell.read_line().expect("the terminal's modes");
        assert!(!self.modes.is_empty());
        assert_eq!(modes, self.modes, "the terminal's modes after the chat");
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The contents of the messages that `/save` wrote.
    pub(super) fn saved(&mut self) -> Vec<String> {
        self.type_line("/save saved.json");
        self.expect("Saved ");
        self.expect("> ");
        let text = std::fs::read(self.path("saved.json")).expect("the saved file");
        let saved: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let messages = saved["messages"].as_array().expect("messages");
        messages
            .iter()
            .map(|message| message["content"].as_str().expect("a text").to_owned())
            .collect()
    }
}
