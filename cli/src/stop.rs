//! Signals: Ctrl-C stops what is being done, and pressed twice ends the program at once; a termination
//! signal (SIGTERM, or SIGHUP when the terminal closes) stops the work and ends the program after that.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::terminal;

/// The exit code after Ctrl-C: 128 and SIGINT's number, as shells have it.
const INTERRUPTED: u8 = 130;

/// The termination signal that this process got; 0: none.
static TERMINATION: AtomicI32 = AtomicI32::new(0);

/// Whether the work is to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Ctrl-C was pressed since the last [`Stop::clear`].
    interrupted: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on. Once for each process.
    ///
    /// # Errors
    /// The system refuses to install a signal handler.
    pub fn listen() -> anyhow::Result<Self> {
        let stop = Self::default();
        stop.install()?;
        Ok(stop)
    }

    #[cfg(unix)]
    fn install(&self) -> anyhow::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let stop = self.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGINT => stop.interrupt(),
                    // A second one changes nothing: the work is stopping, and what was asked for is being saved.
                    _ => TERMINATION.store(signal, Ordering::SeqCst),
                }
            }
        })?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn install(&self) -> anyhow::Result<()> {
        let stop = self.clone();
        Ok(ctrlc::set_handler(move || stop.interrupt())?)
    }

    fn interrupt(&self) {
        if self.interrupted.swap(true, Ordering::SeqCst) {
            exit_now();
        }
    }

    /// Whether Ctrl-C was pressed, or the program is to end.
    pub fn requested(&self) -> bool {
        self.interrupted() || self.terminated()
    }

    /// Whether Ctrl-C was pressed since the last [`Stop::clear`].
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Whether a termination signal came: the program saves what it was asked to save, and ends.
    pub fn terminated(&self) -> bool {
        TERMINATION.load(Ordering::SeqCst) != 0
    }

    /// [`Stop::requested`] as an answer to progress.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Forgets that Ctrl-C was pressed. A termination signal stays.
    pub fn clear(&self) {
        self.interrupted.store(false, Ordering::SeqCst);
    }
}

/// The exit code of a program that was stopped: 128 and the signal's number.
pub fn exit_code() -> u8 {
    match TERMINATION.load(Ordering::SeqCst) {
        0 => INTERRUPTED,
        signal => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    }
}

/// Ends the process because it was stopped, with the terminal as it was found.
pub fn exit_now() -> ! {
    terminal::restore();
    std::process::exit(exit_code().into());
}
