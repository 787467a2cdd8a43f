//! Disks without room: what was there before stays, nothing is left behind, and the message says
//! what to do.
//!
//! `GODWIT_SMALL_DISK` names a disk of 80 MiB that nobody else uses. `tests/crash.sh` mounts one,
//! and runs this. As many tests as possible are in `crash.rs` and in the modules, with files that
//! the system does not let grow.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use godwit_tests::hub_server::{Hub, sha256};
use rexpect::session::spawn_command;

/// Milliseconds that a loaded machine may take for an answer.
const PATIENCE: u64 = 120_000;

/// The small disk, with nothing on it.
fn empty_disk() -> PathBuf {
    let disk = std::env::var_os("GODWIT_SMALL_DISK").expect("a small disk: run tests/crash.sh");
    for entry in fs::read_dir(&disk).expect("the disk").flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        }
        .expect("removed");
    }
    disk.into()
}

/// Fills the disk, but for so many blocks of 4,096 bytes.
fn fill(disk: &Path, blocks_left: u64) {
    let path = disk.join("filler");
    let mut file = File::create(&path).expect("a file");
    while file.write_all(&[7; 4096]).is_ok() {}
    let len = file.metadata().expect("a length").len();
    file.set_len((len / 4096).saturating_sub(blocks_left) * 4096)
        .expect("room");
}

/// The files on the disk, without the filler.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.retain(|path| !path.ends_with("filler"));
    found.sort();
    found
}

fn model() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/SmolLM2-135M-Instruct.Q4_1.gguf"
    );
    assert!(
        Path::new(path).exists(),
        "{path} is missing; run tests/fetch.sh --tests"
    );
    path.into()
}

/// A command whose caches are in a folder.
fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .args(args)
        .env("GODWIT_CONFIG", "")
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"));
    // Shaders that a software driver compiled are none of what is tested here.
    command.env("MESA_SHADER_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

/// Twice: before the download, where the disk is too small, and in it, where something else fills
/// it.
#[test]
fn a_download() {
    const REPO: &str = "godwit/Tiny-GGUF";
    let disk = empty_disk();
    let content = vec![7; 4_000_000];
    let place = disk.clone();
    let hub = Hub::with(
        REPO,
        &[("tiny-Q8_0.gguf", content.clone())],
        move |request, answer| {
            if request.cdn && request.start.is_none() {
                fill(&place, 100);
            }
            answer
        },
    );
    let pull = || {
        let mut command = command(&disk, &["pull", REPO]);
        for variable in [
            "HF_HOME",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
        ] {
            command.env_remove(variable);
        }
        let command = command
            .env("HF_HUB_CACHE", disk.join("hub"))
            .env("HF_ENDPOINT", hub.endpoint());
        command.output().expect("it starts")
    };
    let blobs = disk.join("hub/models--godwit--Tiny-GGUF/blobs");
    fill(&disk, 10);
    let output = pull();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    says(
        &stderr(&output),
        &[
            "40.0 KiB left",
            "are to be downloaded",
            "make room",
            "HF_HUB_CACHE",
        ],
    );
    assert_eq!(files(&blobs), [] as [PathBuf; 0]);

    fs::remove_file(disk.join("filler")).expect("room");
    let output = pull();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let part = blobs.join(sha256(&content) + ".incomplete");
    says(
        &stderr(&output),
        &[
            &part.display().to_string(),
            "No space left",
            "make room",
            "the next pull",
        ],
    );
    let len = fs::metadata(&part).expect("the part").len();
    assert!(
        len > 200_000
            && fs::read(&part)
                .expect("the part")
                .iter()
                .all(|&byte| byte == 7),
        "{len}"
    );
    assert_eq!(files(&blobs), [part]);

    fs::remove_file(disk.join("filler")).expect("room");
    hub.requests();
    let path = String::from_utf8(pull().stdout).expect("UTF-8");
    assert!(fs::read(path.trim_end()).expect("the file") == content);
    assert_eq!(hub.ranges(), [Some(len)]);
}

/// An answer that needs more room than there is for its KV cache ends, and `--save` is written.
#[test]
fn a_spilled_kv_cache() {
    let (disk, elsewhere) = (empty_disk(), tempfile::tempdir().expect("a folder"));
    fill(&disk, 10);
    let (folder, saved) = (
        disk.display().to_string(),
        elsewhere.path().join("saved.kv"),
    );
    let to = saved.display().to_string();
    let prompt = "word ".repeat(1010);
    let model = model();
    let args = [
        "run",
        &model,
        "--raw",
        "-n",
        "4",
        "--temp",
        "0",
        "--no-cache",
        "--context",
        "2048",
    ];
    let spill = [
        "--gpu-memory",
        "118M",
        "--spill-memory",
        "0",
        "--spill-dir",
        &folder,
    ];
    let mut output = command(
        elsewhere.path(),
        &[&args[..], &spill, &["-p", &prompt, "--save", &to]].concat(),
    );
    let output = output.output().expect("it starts");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    says(
        &said,
        &[
            "No space left",
            "make room there",
            "--spill-dir",
            "goes on from there",
        ],
    );
    assert_eq!(files(&disk), [] as [PathBuf; 0]);
    // The prompt goes on where it stopped, and gives the same answer.
    let go_on = |more: &[&str]| {
        let output = command(
            elsewhere.path(),
            &[&args[..], &["-p", &prompt], more].concat(),
        )
        .output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        (
            String::from_utf8(output.stdout).expect("UTF-8"),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(go_on(&["--resume", &to]).0, go_on(&[]).0);
}

/// What is typed, `/save`, and `--save` at the end.
#[test]
fn a_chat() {
    let (disk, elsewhere) = (empty_disk(), tempfile::tempdir().expect("a folder"));
    let state = disk.join("state/godwit");
    fs::create_dir_all(&state).expect("a folder");
    let history = state.join("chat_history");
    fs::write(&history, format!("#V2\n{}\n", "earlier ".repeat(600))).expect("a history");
    fs::write(disk.join("talk.kv"), "").expect("an empty file");
    let before = fs::read(&history).expect("readable");
    fill(&disk, 0);
    let model = model();
    let to = disk.join("talk.kv").display().to_string();
    let mut chat = command(
        &disk,
        &[
            "chat",
            &model,
            "-n",
            "4",
            "--temp",
            "0",
            "--no-cache",
            "--save",
            &to,
        ],
    );
    chat.env("TERM", "xterm")
        .env("XDG_CACHE_HOME", elsewhere.path())
        .current_dir(elsewhere.path());
    let mut chat = spawn_command(chat, Some(PATIENCE)).expect("a terminal");
    let mut all = String::new();
    let mut until = |chat: &mut rexpect::session::PtySession, text: &str| {
        let before = chat.exp_string(text);
        all.push_str(&before.unwrap_or_else(|error| unreachable!("no {text:?}: {error}")));
    };
    until(&mut chat, "> ");
    for message in ["Hello.", "And now?"] {
        chat.send_line(message).expect("a terminal");
        until(&mut chat, "(stopped after 4 tokens");
        until(&mut chat, "> ");
    }
    chat.send_line(&format!("/save {}", disk.join("talk.json").display()))
        .expect("a terminal");
    until(&mut chat, "No space left");
    until(&mut chat, "make room on that disk");
    until(&mut chat, "> ");
    chat.send_line("/save talk.json").expect("a terminal");
    until(&mut chat, "Saved 4 messages");
    until(&mut chat, "> ");
    chat.send_line("/exit").expect("a terminal");
    until(&mut chat, "talk.kv");
    until(&mut chat, "No space left");
    until(&mut chat, "> ");
    chat.send_line("/exit").expect("a terminal");
    until(&mut chat, "No space left");
    let rest = chat.exp_eof().expect("the end");
    assert!(rest.contains("make room"), "{rest:?}");
    assert_eq!(
        all.matches("is not kept for the next").count(),
        1,
        "{all:?}"
    );
    assert!(all.contains("XDG_STATE_HOME"), "{all:?}");
    assert!(fs::read(&history).expect("readable") == before);
    let lock = state.join("chat_history.lock");
    assert_eq!(files(&disk), [history, lock, disk.join("talk.kv")]);
    assert_eq!(
        fs::metadata(disk.join("talk.kv")).expect("the file").len(),
        0
    );
}

/// A hash that can't be kept costs time.
#[test]
fn hashes_of_weights() {
    let (disk, elsewhere) = (empty_disk(), tempfile::tempdir().expect("a folder"));
    fs::create_dir_all(disk.join("cache/godwit/hashes")).expect("a folder");
    let (model, to) = (
        model(),
        elsewhere.path().join("saved.kv").display().to_string(),
    );
    let run = || {
        let args = [
            "run",
            &model,
            "--raw",
            "-p",
            "a b c",
            "-n",
            "4",
            "--temp",
            "0",
            "--no-cache",
            "--save",
            &to,
        ];
        let output = command(&disk, &args).output().expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        (
            String::from_utf8(output.stdout.clone()).expect("UTF-8"),
            stderr(&output),
        )
    };
    fill(&disk, 0);
    let (full, said) = run();
    says(
        &said,
        &[
            "No space left",
            "make room",
            "hashed again at the next start",
            "XDG_CACHE_HOME",
        ],
    );
    assert_eq!(said.matches("warning").count(), 1, "{said}");
    assert_eq!(files(&disk), [] as [PathBuf; 0]);
    fs::remove_file(disk.join("filler")).expect("room");
    let (roomy, said) = run();
    assert_eq!((roomy, said.matches("warning").count()), (full, 0));
    let kept = files(&disk);
    assert_eq!(kept.len(), 1, "{kept:?}");
    // What was kept stays on a disk that is full.
    let before = fs::read(&kept[0]).expect("readable");
    fill(&disk, 0);
    assert_eq!(run().1.matches("warning").count(), 0);
    assert_eq!(fs::read(&kept[0]).expect("readable"), before);
}

/// What was measured of a GPU and can't be kept is used all the same.
#[test]
fn tuning() {
    let disk = empty_disk();
    let folder = disk.join("gpus");
    fs::create_dir(&folder).expect("a folder");
    fill(&disk, 0);
    let options = godwit::GpuOptions::default();
    let gpu = || {
        pollster::block_on(godwit::Gpu::open(&options))
            .expect("a GPU, or the driver of tests/fetch.sh")
    };
    let mut measured = gpu();
    pollster::block_on(measured.tune(&folder, &mut godwit::unwatched)).expect("it is tuned");
    assert!(measured.caps().tuning.gemv.is_some());
    assert_eq!(files(&disk), [] as [PathBuf; 0]);
    fs::remove_file(disk.join("filler")).expect("room");
    pollster::block_on(gpu().tune(&folder, &mut godwit::unwatched)).expect("it is tuned");
    let kept = files(&disk);
    let before = fs::read(&kept[0]).expect("readable");
    fill(&disk, 0);
    let mut times = 0;
    pollster::block_on(gpu().tune(&folder, &mut |now| {
        times += 1;
        godwit::unwatched(now)
    }))
    .expect("it is known");
    assert_eq!((times, fs::read(&kept[0]).expect("readable")), (0, before));
}
