//! A place of its own for commands that are killed: folders, models, a full disk.

use super::*;

/// A folder with a tiny model, a text, and a home with nothing in it.
pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = match std::env::var_os("GODWIT_CRASH_FOLDER") {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let place = Self {
            folder: folder.expect("a folder"),
        };
        fs::write(place.path("model.gguf"), Builder::llama().build()).expect("a model");
        fs::write(place.path("text.txt"), "abcd".repeat(40)).expect("a text");
        fs::create_dir(place.path("out")).expect("a folder");
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A command, as a person without a cache starts it; `shell` is run before.
    pub(super) fn command(&self, shell: &str, args: &[String]) -> Command {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!("{shell} exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_godwit"),
            ])
            .args(args);
        // Shaders that a software driver compiled are none of what is tested here.
        command.env("MESA_SHADER_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
        command
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn run(&self, args: &[String]) -> Output {
        self.command("", args).output().expect("it starts")
    }

    #[track_caller]
    pub(super) fn says(&self, args: &[String]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Files anywhere in the folder that no command has under its own name.
    pub(super) fn left_over(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(entry.path());
                } else if entry.file_name().to_string_lossy().starts_with('.') {
                    found.push(entry.path());
                }
            }
        }
        found
    }

    /// The commands that write a file that a person names, and the file.
    pub(super) fn writers(&self) -> Vec<(PathBuf, Vec<String>)> {
        let model = self.text("model.gguf");
        let args = |args: &[&str], to: &str| {
            let to = self.path("out").join(to);
            let args = args
                .iter()
                .map(|arg| (*arg).to_owned())
                .chain([to.display().to_string()]);
            (to, args.chain(["--force".to_owned()]).collect())
        };
        let text = self.text("text.txt");
        let run = ["run", &model, "--raw", "-p", "a", "-n", "1", "--temp", "0"];
        vec![
            args(&[&run[..], &["--save"]].concat(), "saved.kv"),
            args(&["quantize", &model, "--type", "q8_0"], "quantised.gguf"),
            args(
                &["imatrix", &model, "-f", &text, "--context", "16", "-o"],
                "matrix.gguf",
            ),
        ]
    }

    /// A command that fills the cache of quantised weights.
    pub(super) fn quantised(&self, mix: &str) -> Vec<String> {
        let model = self.text("model.gguf");
        [
            "run", &model, "--raw", "-p", "a", "-n", "8", "--temp", "0", "--quant", mix,
        ]
        .map(str::to_owned)
        .into()
    }
}

/// Numbers that look random, the same in each run.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Ends a command after a time, or at its end.
pub(super) fn kill_after(mut child: Child, time: Duration) -> Output {
    let begin = Instant::now();
    while begin.elapsed() < time && child.try_wait().expect("its state").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // It may have ended just now.
    let _ = child.kill();
    child.wait_with_output().expect("it ends")
}

pub(super) fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder)
        .map(|all| all.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
