//! The terminal's state: kept at the start, and put back however the program ends.

use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
pub use unix::{keep, quiet, restore, suspend};

/// Whether the line editor has the terminal.
static IS_EDITING: AtomicBool = AtomicBool::new(false);

/// Lets the line editor have the terminal while `read` runs.
pub fn edit<T>(read: impl FnOnce() -> T) -> T {
    IS_EDITING.store(true, Ordering::SeqCst);
    let result = read();
    IS_EDITING.store(false, Ordering::SeqCst);
    result
}

#[cfg(unix)]
mod unix {
    use std::sync::OnceLock;

    use std::sync::atomic::Ordering;

    use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    use super::IS_EDITING;
    use crate::output::control;
    use crate::screen;

    /// The modes that stdin's terminal had before a line editor changed them.
    static MODES: OnceLock<Termios> = OnceLock::new();

    /// Ends bracketed paste, which line editors switch on, and the line.
    const PASTE_OFF: &[u8] = b"\x1b[?2004l\r\n";

    /// Remembers the terminal's modes, before a line editor changes them.
    pub fn keep() {
        if let Ok(modes) = tcgetattr(std::io::stdin()) {
            // The first call counts.
            let _ = MODES.set(modes);
        }
    }

    /// Shows no keys until [`restore`]: what is typed while an answer streams waits, as it was
    /// typed, for the line editor. Ctrl-C stays a signal.
    pub fn quiet() {
        let Some(modes) = MODES.get().filter(|_| !screen::is_dumb()) else {
            return;
        };
        let mut quiet = modes.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON);
        // Enter stays apart from Ctrl-J.
        quiet.input_modes.remove(InputModes::ICRNL);
        // Where the terminal is gone, nothing echoes.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &quiet);
    }

    /// Suspends the program and whatever it shares a pipeline with, as Ctrl-Z does. Returns when it
    /// goes on.
    pub fn suspend() {
        restore();
        // Where the system refuses, nothing is suspended.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        // The signal may go to another thread: this one is stopped in here.
        std::thread::sleep(std::time::Duration::from_millis(100));
        quiet();
    }

    /// Puts the modes back, if [`keep`] was called and something has changed them since.
    pub fn restore() {
        let Some(modes) = MODES.get() else { return };
        let stdin = std::io::stdin();
        let is_changed = tcgetattr(&stdin).is_ok_and(|now| now.local_modes != modes.local_modes);
        // The terminal may be gone (SIGHUP): then nothing is left to put back.
        let is_editing = IS_EDITING.load(Ordering::SeqCst);
        if is_changed && tcsetattr(&stdin, OptionalActions::Now, modes).is_ok() && is_editing {
            control(PASTE_OFF);
        }
    }
}

/// Windows gives each program the console's modes anew.
#[cfg(not(unix))]
pub fn keep() {}

/// Windows gives each program the console's modes anew.
#[cfg(not(unix))]
pub fn restore() {}

/// Windows shows what is typed.
#[cfg(not(unix))]
pub fn quiet() {}

/// Windows suspends no programs.
#[cfg(not(unix))]
pub fn suspend() {}
