//! Crashes, for tests: a test runs itself as another process, which is killed at the n-th place
//! that calls [`super::crash_point`].

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// `POINT FOLDER`: where the process is killed, and the folder that it writes into.
const VARIABLE: &str = "GODWIT_TEST_CRASH";

static PASSED: AtomicU32 = AtomicU32::new(0);

fn order() -> Option<&'static (u32, PathBuf)> {
    static ORDER: OnceLock<Option<(u32, PathBuf)>> = OnceLock::new();
    let read = || {
        let order = std::env::var(VARIABLE).ok()?;
        let (point, folder) = order.split_once(' ')?;
        Some((point.parse().ok()?, folder.into()))
    };
    ORDER.get_or_init(read).as_ref()
}

/// The folder to write into, where this process is the one to be killed.
pub(crate) fn folder_of_child() -> Option<PathBuf> {
    order().map(|(_, folder)| folder.clone())
}

/// Passes a point: the process is killed here if it is the one.
pub(crate) fn pass() {
    if let Some((point, _)) = order()
        && PASSED.fetch_add(1, Ordering::SeqCst) == *point
    {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).expect("a signal");
    }
}

/// Runs a test of this program as another process, to be killed at the point of this number.
/// Returns whether it was: false where it ended before.
pub(crate) fn run_child(test: &str, folder: &Path, point: u32) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", test, "--test-threads=1"])
        .stdout(Stdio::null());
    let status = command
        .env(VARIABLE, format!("{point} {}", folder.display()))
        .status()
        .expect("it starts");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(status.success() || signal == Some(9), "{test}: {status}");
    signal.is_some()
}
