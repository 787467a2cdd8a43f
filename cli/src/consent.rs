//! Whether a model that is not here may be downloaded. `folder/model` is a repository's name, and
//! also how a path reads that was mistyped.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use godwit_hub::{HubError, Name};

use crate::crash;
use crate::output::{self, ask, bytes, is_stderr_terminal};
use crate::stop::Stop;
use crate::terminal;

/// How often a wait for the answer looks whether the program is to end.
const LOOK: Duration = Duration::from_millis(100);

/// How sure it is that a repository is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It was said: by `--yes`, an address, a short name, or a QUANT or REVISION, which paths don't
    /// have.
    Given,
    /// A person can be asked.
    Ask,
    /// There is no terminal to ask on.
    Silent,
}

impl Consent {
    /// The facts about a name. `is_explicit`: `--yes`, an address or a short name.
    pub fn of(name: &Name, is_explicit: bool) -> Self {
        if is_explicit || name.quant.is_some() || name.revision.is_some() {
            Self::Given
        } else if std::io::stdin().is_terminal() && is_stderr_terminal() {
            Self::Ask
        } else {
            Self::Silent
        }
    }

    /// Refuses, before the hub is asked, a name that is more likely a path.
    ///
    /// # Errors
    /// Nobody can be asked, and what would be the owner is a folder here.
    pub fn check(self, name: &Name) -> Result<(), HubError> {
        let owner = name.repo.split('/').next().unwrap_or_default();
        match self {
            Self::Silent if Path::new(owner).is_dir() => Err(HubError::LikePath {
                path: name.repo.clone(),
                folder: owner.into(),
            }),
            _ => Ok(()),
        }
    }

    /// Asks whether so many bytes are to be downloaded, where that has to be asked.
    ///
    /// # Errors
    /// The answer is no, or the program is to end.
    pub fn confirm(self, name: &Name, size: u64, stop: &Stop) -> Result<(), HubError> {
        if self != Self::Ask || size == 0 {
            return Ok(());
        }
        // What is answered is shown.
        terminal::restore();
        ask(&format!(
            "There is no file {name}. Download {name} ({}) from the hub? [y/N]",
            bytes(size)
        ));
        match answer(stop)?.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(HubError::Declined(name.to_string())),
        }
    }
}

/// A line from the terminal; none of it at the end of the input.
fn answer(stop: &Stop) -> Result<String, HubError> {
    let (send, line) = channel();
    let read = move || {
        let mut line = String::new();
        // Unreadable input is no consent. The receiver is gone when the program ends.
        let _ = std::io::stdin().read_line(&mut line);
        let _ = send.send(line);
    };
    crash::spawn("answer", read).map_err(HubError::io(
        "wait for an answer on",
        Path::new("the terminal"),
    ))?;
    loop {
        match line.recv_timeout(LOOK) {
            Ok(line) => {
                if line.is_empty() {
                    output::note("");
                }
                return Ok(line);
            }
            Err(RecvTimeoutError::Timeout) if !stop.requested() => {}
            Err(_) => return Err(HubError::Stopped),
        }
    }
}
