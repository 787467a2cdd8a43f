//! Crashes, for tests: a test runs itself as another process, which is killed at the n-th place
//! that calls [`super::crash_point`]. The command's tests include this file too.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    was_killed(&mut start_child(test, folder, point))
}

/// Starts the process of [`run_child`], and does not wait for it.
pub(crate) fn start_child(test: &str, folder: &Path, point: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", test, "--test-threads=1"])
        .stdout(Stdio::null());
    command
        .env(VARIABLE, format!("{point} {}", folder.display()))
        .spawn()
        .expect("it starts")
}

/// Waits for a process of [`start_child`]. Returns whether it was killed.
pub(crate) fn was_killed(child: &mut Child) -> bool {
    let status = child.wait().expect("it ends");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(status.success() || signal == Some(9), "the child: {status}");
    signal.is_some()
}
