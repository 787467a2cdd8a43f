//! Handles a bug in the program: a short message that says where to report it, an exit
//! code of its own, and the terminal as it was.
//!
//! The panic hook only remembers. A panic that a library catches and turns into an error is not a
//! crash; one that comes through to [`guard`] or ends a thread of [`spawn`] is.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::output::{self, note, shown};
use crate::terminal;

/// The exit code of a crash, which is also what Rust's own programs have.
const EXIT_CODE: u8 = 101;

/// Where bugs are reported: the package's repository, if it names one.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The longest message of a panic that is repeated, in characters.
const LONGEST: usize = 500;

/// The newest panic.
static NEWEST: Mutex<Option<Panic>> = Mutex::new(None);

struct Panic {
    message: String,
    place: String,
    backtrace: Backtrace,
}

impl Panic {
    fn new(info: &PanicHookInfo<'_>) -> Self {
        let message = info
            .payload_as_str()
            .unwrap_or("no message")
            .chars()
            .take(LONGEST)
            .collect();
        let place = info
            .location()
            .map_or_else(|| "an unknown place".into(), ToString::to_string);
        // Captured only where RUST_BACKTRACE asks for it.
        Self {
            message,
            place,
            backtrace: Backtrace::capture(),
        }
    }
}

/// Remembers panics from now on, instead of printing them.
pub fn listen() {
    panic::set_hook(Box::new(|info| {
        let panic = Panic::new(info);
        // A library's own threads report nowhere else.
        tracing::debug!("a panic at {}: {}", panic.place, panic.message);
        *NEWEST.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }));
}

/// Runs the program. A panic ends it with the message and the exit code of a crash.
pub fn guard(program: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| {
        report();
        ExitCode::from(EXIT_CODE)
    })
}

/// Starts a thread whose panic ends the program as one of the main thread does.
///
/// # Errors
/// The system has no thread to spare.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(|| {
        if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            report();
            std::process::exit(EXIT_CODE.into());
        }
    })
}

/// Says on stderr what happened, with the terminal as it was.
fn report() {
    output::clear_bar();
    terminal::restore();
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (what, trace) = match &newest {
        Some(Panic {
            message,
            place,
            backtrace,
        }) => {
            let trace =
                (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            (format!("{} ({place})", shown(message)), trace)
        }
        None => ("it panicked".into(), None),
    };
    let version = env!("CARGO_PKG_VERSION");
    let place = match REPOSITORY {
        "" => "as docs/CLI.md describes under \"Reporting a bug\"".into(),
        repository => format!("at {repository}/issues"),
    };
    note(&format!(
        "error: godwit {version} stopped because of a bug in it: {what}"
    ));
    note(&format!(
        "please report this message and the command line {place}"
    ));
    match trace {
        Some(trace) => note(&trace),
        None => note("RUST_BACKTRACE=1 shows how the program came there"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    /// Tells the test's own process, started again, which way to crash.
    const WAY: &str = "GODWIT_TEST_CRASH";

    const OPEN: &str = "the door\u{1b}[2J is open";

    /// Crashes in the way that the test asked for, where this is the process that is to.
    fn crash() {
        let Ok(way) = std::env::var(WAY) else { return };
        listen();
        terminal::keep();
        #[cfg(unix)]
        if way == "terminal" {
            let mut modes = rustix::termios::tcgetattr(std::io::stdin()).expect("a terminal");
            modes.make_raw();
            let now = rustix::termios::OptionalActions::Now;
            rustix::termios::tcsetattr(std::io::stdin(), now, &modes).expect("raw modes");
        }
        let code = guard(|| match way.as_str() {
            "caught" => {
                assert!(panic::catch_unwind(|| unreachable!("{OPEN}")).is_err());
                ExitCode::from(7)
            }
            "thread" => {
                spawn("worker", || unreachable!("{OPEN}"))
                    .expect("a thread")
                    .join()
                    .expect("never");
                ExitCode::SUCCESS
            }
            _ => unreachable!("{OPEN}"),
        });
        // `ExitCode` tells nothing of its value, so the test's process ends as a program would.
        std::process::exit(if code == ExitCode::from(EXIT_CODE) {
            EXIT_CODE.into()
        } else {
            7
        });
    }

    /// This test alone, in a process of its own that crashes.
    fn child(test: &str, way: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("the test's path"));
        command
            .args(["--exact", "--nocapture", test])
            .env(WAY, way)
            .env_remove("RUST_BACKTRACE");
        command.env_remove("RUST_LIB_BACKTRACE");
        command
    }

    fn stderr(output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).expect("UTF-8")
    }

    #[test]
    fn a_panic_is_a_short_message_and_an_exit_code() {
        crash();
        let test = "crash::tests::a_panic_is_a_short_message_and_an_exit_code";
        for way in ["main", "thread"] {
            let output = child(test, way).output().expect("the test runs");
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(101), "{said}");
            assert_eq!(said.lines().count(), 3, "{said}");
            assert!(
                said.contains("a bug in it: internal error") && said.contains("crash.rs:"),
                "{said}"
            );
            assert!(
                said.contains(r"the door\u{1b}[2J is open") && said.contains("report this message"),
                "{said}"
            );
        }
        let traced = child(test, "main")
            .env("RUST_BACKTRACE", "1")
            .output()
            .expect("the test runs");
        assert!(stderr(&traced).lines().count() > 6, "{}", stderr(&traced));
    }

    #[test]
    fn a_panic_that_is_caught_says_nothing() {
        crash();
        let output = child(
            "crash::tests::a_panic_that_is_caught_says_nothing",
            "caught",
        )
        .output();
        let output = output.expect("the test runs");
        assert_eq!(
            (output.status.code(), stderr(&output)),
            (Some(7), String::new())
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        crash();
        let program = std::env::current_exe()
            .expect("the test's path")
            .display()
            .to_string();
        let test = "crash::tests::a_panic_leaves_the_terminal_as_it_was";
        let script = format!(
            "stty -g; {WAY}=terminal '{program}' --exact --nocapture {test}; echo code $?; stty \
             -g; echo end"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        let mut shell = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
        let before = shell.read_line().expect("the modes");
        shell.exp_string("code 101").expect("the exit code");
        shell.read_line().expect("the end of the line");
        assert_eq!(shell.read_line().expect("the modes"), before);
        shell.exp_string("end").expect("the end");
    }
}
