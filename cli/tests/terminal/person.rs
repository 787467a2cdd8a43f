//! Somebody at a terminal, who types and reads.

use godwit_tests::model::fixture;

use super::*;

/// Milliseconds that a loaded machine may take for an answer.
pub(super) const PATIENCE: u64 = 120_000;

pub(super) fn model() -> String {
    let path = fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    path.display().to_string()
}

/// The shell line of a chat.
pub(super) fn chat(args: &str) -> String {
    format!("exec $GODWIT chat $MODEL --temp 0 --no-cache {args}")
}

/// A shell in a terminal that runs a chat between two prints of the terminal's modes.
pub(super) struct Terminal {
    pub(super) shell: PtySession,
    pub(super) modes: String,
    pub(super) folder: tempfile::TempDir,
}

/// The widths of terminals that every point of view is tried at.
pub(super) const WIDTHS: [usize; 2] = [100, 40];

impl Terminal {
    /// A chat in a terminal of the usual width, at its first prompt.
    pub(super) fn chat(args: &str) -> Self {
        Self::chat_at(WIDTHS[0], args)
    }

    /// A chat in a terminal of so many columns, at its first prompt.
    pub(super) fn chat_at(columns: usize, args: &str) -> Self {
        let mut terminal = Self::open(columns, &chat(args));
        terminal.expect("lists the commands.");
        terminal.expect_prompt();
        terminal
    }

    /// A shell line in a terminal of so many columns. `$GODWIT` and `$MODEL` are there.
    pub(super) fn open(columns: usize, line: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("folder")).expect("a folder");
        std::fs::write(
            folder.path().join("line"),
            format!("echo $$ >pid; {line}\n"),
        )
        .expect("a script");
        // Ctrl-C goes to the whole terminal; the shell lives on to tell the end.
        let script = format!(
            "stty cols {columns} rows 30; trap : INT; echo before $(stty -g); sh line; echo code \
             $?; echo after $(stty -g)"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .current_dir(&folder)
            .env("GODWIT", env!("CARGO_BIN_EXE_godwit"))
            .env("MODEL", model())
            .env("XDG_STATE_HOME", folder.path())
            .env("HOME", folder.path())
            .env("GODWIT_CONFIG", "")
            .env("HF_HUB_OFFLINE", "1")
            .env("TERM", "xterm");
        // Compiled kernels are as good as those of other tests.
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        if let Some(cache) = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))) {
            command.env("MESA_SHADER_CACHE_DIR", cache);
        }
        let mut shell = spawn_command(command, Some(PATIENCE)).expect("a terminal");
        shell.exp_string("before ").expect("the shell's first line");
        let modes = shell.read_line().expect("the terminal's modes");
        Self {
            shell,
            modes,
            folder,
        }
    }

    /// Waits for the editor's prompt, and returns what was shown before it.
    #[track_caller]
    pub(super) fn expect_prompt(&mut self) -> String {
        self.expect("\u{1b}[32m> ")
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
        self.expect_prompt();
        let text = std::fs::read(self.path("saved.json")).expect("the saved file");
        let saved: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let messages = saved["messages"].as_array().expect("messages");
        messages
            .iter()
            .map(|message| message["content"].as_str().expect("a text").to_owned())
            .collect()
    }
}
