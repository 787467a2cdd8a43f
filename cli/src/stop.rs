//! Signals: Ctrl-C stops what is being done; pressed again it ends the program once what it was
//! asked to save is saved, as a termination signal does (SIGTERM, or SIGHUP when the terminal
//! closes). Pressed a third time it ends the program at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::{crash, terminal};

/// The exit code after Ctrl-C: 128 and SIGINT's number, as shells have it.
const INTERRUPTED: u8 = 130;
const SIGINT: i32 = 2;

/// The termination signal that this process got; 0: none.
static TERMINATION: AtomicI32 = AtomicI32::new(0);

/// Whether the work is to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// How often Ctrl-C was pressed since the last [`Stop::clear`].
    presses: Arc<AtomicU32>,
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
        use signal_hook::consts::{SIGHUP, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let stop = self.clone();
        crash::spawn("signals", move || {
            for signal in signals.forever() {
                match signal {
                    SIGINT => stop.interrupt(),
                    // A second one changes nothing: the work is stopping, and what was asked for is
                    // being saved.
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
        match self.presses.fetch_add(1, Ordering::SeqCst) {
            0 => {}
            1 => TERMINATION.store(SIGINT, Ordering::SeqCst),
            _ => exit_now(),
        }
    }

    /// Whether Ctrl-C was pressed, or the program is to end.
    pub fn requested(&self) -> bool {
        self.interrupted() || self.terminated()
    }

    /// Whether Ctrl-C was pressed since the last [`Stop::clear`].
    fn interrupted(&self) -> bool {
        self.presses.load(Ordering::SeqCst) > 0
    }

    /// Whether Ctrl-C was pressed twice since the last [`Stop::clear`]: saving ends too.
    pub fn insisted(&self) -> bool {
        self.presses.load(Ordering::SeqCst) > 1
    }

    /// Whether a termination signal came, or Ctrl-C twice: the program saves what it was asked to
    /// save, and ends.
    pub fn terminated(&self) -> bool {
        TERMINATION.load(Ordering::SeqCst) != 0
    }

    /// [`Stop::requested`] as an answer to progress.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Forgets that Ctrl-C was pressed. A termination signal stays.
    pub fn clear(&self) {
        self.presses.store(0, Ordering::SeqCst);
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
