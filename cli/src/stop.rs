//! Ctrl-C: once, to stop what is being done; twice, to end at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether Ctrl-C was pressed since the last look.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on. Once for each process.
    pub fn listen() -> anyhow::Result<Self> {
        let stop = Self::default();
        let pressed = Arc::clone(&stop.0);
        ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        })?;
        Ok(stop)
    }

    /// Whether it was pressed.
    pub fn pressed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The same as an answer to progress.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Forgets that it was pressed.
    pub fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
