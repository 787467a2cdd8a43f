//! The state after a command is killed, on a full disk, and when several processes use one cache.
//!
//! The points inside of writing are in the runtime's tests; `tests/crash.sh` repeats this for
//! longer, on a small disk of its own.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use godwit_tests::gguf::Builder;
use godwit_tests::hub_server::{Hub, sha256};

/// A folder with a tiny model, a text, and a home with nothing in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A command, as a person without a cache starts it; `shell` is run before.
    fn command(&self, shell: &str, args: &[String]) -> Command {
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

    fn run(&self, args: &[String]) -> Output {
        self.command("", args).output().expect("it starts")
    }

    #[track_caller]
    fn says(&self, args: &[String]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Files anywhere in the folder that no command has under its own name.
    fn left_over(&self) -> Vec<PathBuf> {
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
    fn writers(&self) -> Vec<(PathBuf, Vec<String>)> {
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
    fn quantised(&self, mix: &str) -> Vec<String> {
        let model = self.text("model.gguf");
        [
            "run", &model, "--raw", "-p", "a", "-n", "8", "--temp", "0", "--quant", mix,
        ]
        .map(str::to_owned)
        .into()
    }
}

/// Numbers that look random, the same in each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Rounds of each test: more where a script asks for them.
fn rounds() -> u64 {
    std::env::var("GODWIT_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(3)
}

/// Ends a command after a time, or at its end.
fn kill_after(mut child: Child, time: Duration) -> Output {
    let begin = Instant::now();
    while begin.elapsed() < time && child.try_wait().expect("its state").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // It may have ended just now.
    let _ = child.kill();
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_command_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let place = Place::new();
    let mut noise = Noise(1);
    for (to, args) in place.writers() {
        let begin = Instant::now();
        place.says(&args);
        let (time, whole) = (begin.elapsed(), fs::read(&to).expect("the file"));
        for round in 0..rounds() {
            // Nothing, or an earlier file.
            let old: &[u8] = if round % 2 == 0 { b"" } else { b"notes" };
            fs::remove_file(&to).expect("removed");
            if !old.is_empty() {
                fs::write(&to, old).expect("an earlier file");
            }
            let part = noise.below(1000) as f64 / 900.0;
            let child = place.command("", &args).spawn().expect("it starts");
            let output = kill_after(child, time.mul_f64(part));
            assert!(
                output.status.success() || output.status.signal() == Some(9),
                "{args:?}: {output:?}"
            );
            let found = fs::read(&to).unwrap_or_default();
            assert!(
                found == old || found == whole,
                "{}: {} bytes",
                to.display(),
                found.len()
            );
            place.says(&args);
            assert!(
                fs::read(&to).expect("the file") == whole,
                "{}",
                to.display()
            );
            assert_eq!(place.left_over(), [] as [PathBuf; 0]);
        }
    }
}

#[test]
fn a_cache_that_is_killed_gives_the_right_answer() {
    let place = Place::new();
    let args = place.quantised("q4_0");
    let right = place.says(&args);
    let weights = place.path("cache/godwit/weights");
    let begin = Instant::now();
    place.says(&args);
    let (time, mut noise) = (begin.elapsed(), Noise(2));
    for _ in 0..rounds() {
        fs::remove_dir_all(place.path("cache")).expect("removed");
        let child = place.command("", &args).spawn().expect("it starts");
        kill_after(child, time.mul_f64(noise.below(1000) as f64 / 900.0));
        assert_eq!(place.says(&args), right);
        assert_eq!(place.left_over(), [] as [PathBuf; 0]);
        assert_eq!(fs::read_dir(&weights).expect("a folder").count(), 1);
    }
    // Only its owner sees what is in it.
    for (path, mode) in [
        (weights.clone(), 0o700),
        (place.path("cache/godwit"), 0o700),
    ] {
        assert_eq!(
            std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("a folder")) & 0o777,
            mode
        );
    }
}

/// As a disk that is full from this many blocks of 512 bytes on, in one file: the system refuses to
/// make files longer.
fn full_after(blocks: u64) -> String {
    format!("trap '' XFSZ; ulimit -f {blocks};")
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_file() {
    let place = Place::new();
    // The others need a GPU, and software drivers make long files of their own.
    let writers = place.writers();
    let (to, args) = writers
        .iter()
        .find(|(_, args)| args[0] == "quantize")
        .expect("a writer");
    place.says(args);
    let whole = fs::read(to).expect("the file");
    for blocks in 0..whole.len() as u64 / 512 {
        let output = place
            .command(&full_after(blocks), args)
            .output()
            .expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{blocks} blocks, {args:?}: {stderr}"
        );
        assert!(stderr.contains(&to.display().to_string()), "{stderr}");
        assert!(fs::read(to).expect("the file") == whole, "{}", to.display());
        assert_eq!(place.left_over(), [] as [PathBuf; 0]);
    }
}

/// A disk that is full at any moment of a download leaves what was there before, and the beginning
/// of the file, from which the next pull goes on.
#[test]
fn a_full_disk_interrupts_a_download() {
    const REPO: &str = "godwit/Tiny-GGUF";
    let (old, new) = (Builder::llama().build(), vec![7; 200_000]);
    let hub = Hub::start(
        REPO,
        &[
            ("tiny-Q4_0.gguf", old.clone()),
            ("tiny-Q8_0.gguf", new.clone()),
        ],
    );
    let place = Place::new();
    let command = |shell: &str, args: &[&str]| {
        let mut command = place.command(
            shell,
            &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(),
        );
        for variable in [
            "HF_HUB_CACHE",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
        ] {
            command.env_remove(variable);
        }
        command
            .env("HF_HOME", place.path("hf"))
            .env("HF_ENDPOINT", hub.endpoint());
        command.output().expect("it starts")
    };
    let repo = place.path("hf/hub/models--godwit--Tiny-GGUF");
    assert!(
        command("", &["pull", &format!("{REPO}:q4_0")])
            .status
            .success()
    );
    let (wanted, part) = (
        format!("{REPO}:q8_0"),
        repo.join("blobs").join(sha256(&new) + ".incomplete"),
    );
    let mut before = 0;
    for blocks in [0, 1, 100, 250, 390] {
        let output = command(&full_after(blocks), &["pull", &wanted]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {stderr}");
        for says in [
            part.display().to_string(),
            "another disk".into(),
            "HF_HUB_CACHE".into(),
        ] {
            assert!(
                stderr.contains(&says),
                "{blocks} blocks: {stderr:?} does not say {says:?}"
            );
        }
        // The beginning is kept, and the model that was there.
        let len = fs::metadata(&part).expect("the part").len();
        assert!(
            len >= before && len == blocks * 512,
            "{blocks} blocks: {len} bytes after {before}"
        );
        before = len;
        assert_eq!(
            place
                .left_over()
                .iter()
                .filter(|path| !path.ends_with(".locks"))
                .count(),
            0
        );
        assert!(
            command("", &["inspect", &format!("{REPO}:q4_0")])
                .status
                .success()
        );
        assert!(!repo.join("blobs").join(sha256(&new)).exists());
    }
    hub.requests();
    let path = String::from_utf8(command("", &["pull", &wanted]).stdout).expect("UTF-8");
    assert!(fs::read(path.trim_end()).expect("the file") == new);
    assert_eq!(hub.ranges(), [Some(before)]);
    assert!(!part.exists());
}

/// Runs all of them at once.
#[track_caller]
fn all_say(place: &Place, commands: &[(Vec<String>, String)]) {
    let children: Vec<_> = commands
        .iter()
        .map(|(args, _)| place.command("", args).spawn().expect("it starts"))
        .collect();
    for (child, (args, right)) in children.into_iter().zip(commands) {
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        assert_eq!(
            &String::from_utf8_lossy(&output.stdout),
            right,
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn several_processes_share_caches() {
    let place = Place::new();
    // Prompts of a block each, in a cache with room for two; weights in one with room for one.
    let prompts = ["a b c d ", "b a d c ", "d d b a "].map(|words| words.repeat(520));
    let shape = "tiny:q8_0,vocab=512,context=16k";
    let mut commands = Vec::new();
    for (i, prompt) in prompts.iter().enumerate() {
        let file = place.path(&format!("prompt{i}"));
        fs::write(&file, prompt).expect("a prompt");
        let file = file.display().to_string();
        let args = [
            "run",
            "--synthetic",
            shape,
            "--raw",
            "-f",
            &file,
            "-n",
            "4",
            "--temp",
            "0",
        ]
        .map(str::to_owned);
        let right = place.says(&[&args[..], &["--no-cache".into()]].concat());
        let args = [&args[..], &["--cache-size".into(), "9M".into()]].concat();
        commands.push((args, right));
    }
    for mix in ["q8_0", "q4_0", "q4_0"] {
        let args = place.quantised(mix);
        let right = place.says(&[&args[..], &["--quant-cache-size".into(), "0".into()]].concat());
        let args = [&args[..], &["--quant-cache-size".into(), "64K".into()]].concat();
        commands.push((args, right));
    }
    for _ in 0..rounds().div_ceil(6) {
        all_say(&place, &commands);
        // The clock is set back by a year after this round: what is there is of the future.
        let future = std::time::SystemTime::now() + Duration::from_secs(365 * 24 * 3600);
        for folder in ["prompts", "weights"] {
            for path in files(&place.path("cache/godwit").join(folder)) {
                let file = fs::File::options().write(true).open(path).expect("a file");
                file.set_times(fs::FileTimes::new().set_modified(future))
                    .expect("another time");
            }
        }
    }
    all_say(&place, &commands);
    assert_eq!(place.left_over(), [] as [PathBuf; 0]);
    assert!(
        !files(&place.path("cache/godwit/prompts")).is_empty(),
        "prompts were kept"
    );
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder)
        .map(|all| all.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

/// A thing that is no block in a block's place: nothing waits for it, nothing is written to it.
#[test]
fn pipes_and_links_in_a_cache_are_passed_over() {
    let place = Place::new();
    let args = place.quantised("q4_0");
    let right = place.says(&args);
    let [kept] = &files(&place.path("cache/godwit/weights"))
        .into_iter()
        .collect::<Vec<_>>()[..]
    else {
        unreachable!("one file")
    };
    let other = place.path("notes");
    fs::write(&other, "notes").expect("a file");
    for what in ["pipe", "link", "folder"] {
        if kept.is_dir() {
            fs::remove_dir(kept)
        } else {
            fs::remove_file(kept)
        }
        .expect("removed");
        match what {
            "pipe" => assert!(
                Command::new("mkfifo")
                    .arg(kept)
                    .status()
                    .expect("mkfifo")
                    .success()
            ),
            "link" => std::os::unix::fs::symlink(&other, kept).expect("a link"),
            _ => fs::create_dir(kept).expect("a folder"),
        }
        let child = place.command("", &args).spawn().expect("it starts");
        let output = kill_after(child, Duration::from_secs(60));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            right,
            "a {what}: {stderr}"
        );
        assert!(stderr.contains("the file stays"), "a {what}: {stderr}");
        assert_eq!(fs::read(&other).expect("notes"), b"notes", "a {what}");
    }
}

#[test]
fn outputs_follow_the_umask() {
    let place = Place::new();
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        for (to, args) in place.writers() {
            let _ = fs::remove_file(&to);
            let output = place
                .command(&format!("umask {umask};"), &args)
                .output()
                .expect("it starts");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let found =
                std::os::unix::fs::MetadataExt::mode(&to.metadata().expect("the file")) & 0o777;
            assert_eq!(found, mode, "{} with umask {umask}", to.display());
        }
    }
}
