//! The command in a terminal and in pipes, byte for byte, and what must not be among the bytes.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rexpect::process::PtyProcess;
use rexpect::process::WaitStatus;

/// What a hostile file says: a title, a colour, a question that the terminal answers by typing, an
/// erased screen by C1, and what returns, deletes, rings or reads from right to left.
pub const EVIL: &str = "evil\u{1b}]0;title\u{7}\u{1b}[7;41m\u{1b}[6n\u{9b}2J\u{85}\
    \u{8}\u{7f}\rFORGED\u{202e}\u{2066}\u{200f}\u{61c}end";

/// The longest pause between two outputs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Control sequences of bars, of the line editor and of colours, without their parameters.
const OWN: [&str; 14] = [
    "2K", "K", "J", "?2004h", "?2004l", "?2026h", "?2026l", "0m", "31m", "32m", "33m", "34m", "2m",
    "36m",
];

/// Colours and styles of clap's messages.
const STYLES: [&str; 4] = ["1m", "4m", "1m\u{1b}[31m", "1m\u{1b}[4m"];

/// The command with these arguments, in a folder.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command.args(args).current_dir(folder);
    command
        .env("TERM", "xterm")
        .env("GODWIT_CONFIG", "")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_STATE_HOME", folder);
    // Compiled kernels are as good as those of other tests.
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    if let Some(cache) = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))) {
        command.env("MESA_SHADER_CACHE_DIR", cache);
    }
    command
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", folder.join("hf"))
        .env("NO_PROXY", "*");
    command
}

/// All that a command writes to its terminal, and its exit code. `keys` are typed when the text
/// before them has appeared.
pub fn in_terminal(command: Command, keys: &[(&str, &str)]) -> (Vec<u8>, i32) {
    let shown = format!("{command:?}");
    let process = PtyProcess::new(command).expect("a terminal");
    let (mut input, mut output) = [(); 2]
        .map(|()| process.get_file_handle().expect("the terminal's end"))
        .into();
    let (send, pieces) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The end of a terminal is an error on Linux.
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let (mut all, mut keys, mut from) = (Vec::new(), keys.iter(), 0);
    let mut next = keys.next();
    loop {
        match pieces.recv_timeout(PATIENCE) {
            Ok(piece) => all.extend(piece),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                unreachable!(
                    "{shown} waits for ever after {:?}",
                    String::from_utf8_lossy(&all)
                )
            }
        }
        while let Some((after, typed)) = next
            && let Some(at) = find(&all[from..], after.as_bytes())
        {
            from += at + after.len();
            input
                .write_all(typed.as_bytes())
                .and_then(|()| input.flush())
                .expect("a key");
            next = keys.next();
        }
    }
    assert!(
        next.is_none(),
        "{shown} never shows {next:?}: {:?}",
        String::from_utf8_lossy(&all)
    );
    let code = match process.wait().expect("the command's end") {
        WaitStatus::Exited(_, code) => code,
        other => unreachable!("{shown} ends with {other:?}"),
    };
    (all, code)
}

fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}

/// Takes out what Godwit's own bars, editor and colours write.
fn without_own(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        let own = OWN
            .iter()
            .chain(&STYLES)
            .find(|own| after.starts_with(**own));
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if let Some(own) = own {
            rest = &after[own.len()..];
        } else if digits <= 3 && after[digits..].starts_with(['A', 'B', 'C', 'D']) {
            rest = &after[digits + 1..];
        } else {
            out.push_str("\u{1b}[");
            rest = after;
        }
    }
    out + rest
}

/// The control characters that are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Line feeds and tabs.
    Lines,
    /// Also characters that change the direction of text: in answers.
    Bidi,
}

#[track_caller]
pub fn harmless(bytes: &[u8], allowed: Allowed, what: &str) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|_| unreachable!("{what}: not UTF-8"));
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let turns = |c: char| {
        allowed == Allowed::Lines && "\u{61c}\u{200e}\u{200f}\u{202e}\u{2066}".contains(c)
    };
    if let Some(at) = text.find(|c| steers(c) || turns(c)) {
        let before: String = text[..at]
            .chars()
            .rev()
            .take(200)
            .collect::<String>()
            .chars()
            .rev()
            .collect();
        let after: String = text[at..].chars().take(60).collect();
        unreachable!("{what}: after {before:?} comes {after:?}");
    }
}

/// Checks what is on a terminal.
#[track_caller]
pub fn harmless_in_terminal(bytes: &[u8], allowed: Allowed, what: &str) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains("\rFORGED"), "{what}: {text:?}");
    // Returns are the terminal's own line ends, and the bars' and the editor's.
    harmless(
        without_own(&text).replace('\r', "").as_bytes(),
        allowed,
        what,
    );
}

/// Runs a command in a terminal and in pipes; nothing of what it says may steer a terminal.
#[track_caller]
pub fn is_harmless(folder: &Path, args: &[&str]) -> i32 {
    let what = args.join(" ").escape_debug().to_string();
    let (bytes, code) = in_terminal(command(folder, args), &[]);
    harmless_in_terminal(&bytes, Allowed::Lines, &what);
    let piped = command(folder, args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    harmless(&piped.stderr, Allowed::Lines, &what);
    harmless(&piped.stdout, Allowed::Lines, &what);
    assert!(
        !String::from_utf8_lossy(&piped.stderr).contains("because of a bug"),
        "{what}"
    );
    code
}
