//! The terminal's state: kept at the start, and put back however the program ends.

#[cfg(unix)]
pub use unix::{keep, restore, suspend};

#[cfg(unix)]
mod unix {
    use std::sync::OnceLock;

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    use crate::output::control;

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

    /// Suspends the program and whatever it shares a pipeline with, as Ctrl-Z does. Returns when it
    /// goes on.
    pub fn suspend() {
        // Where the system refuses, nothing is suspended.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        // The signal may go to another thread: this one is stopped in here.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    /// Puts the modes back, if [`keep`] was called and something has changed them since.
    pub fn restore() {
        let Some(modes) = MODES.get() else { return };
        let stdin = std::io::stdin();
        let is_changed = tcgetattr(&stdin).is_ok_and(|now| now.local_modes != modes.local_modes);
        // The terminal may be gone (SIGHUP): then nothing is left to put back.
        if is_changed && tcsetattr(&stdin, OptionalActions::Now, modes).is_ok() {
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

/// Windows suspends no programs.
#[cfg(not(unix))]
pub fn suspend() {}
