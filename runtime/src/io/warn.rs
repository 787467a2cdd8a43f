//! Warnings about files of caches: one for each cause, however often it is met.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::FileError;
use super::durable::folder_of;

/// How many causes are remembered. A process that meets more of them repeats itself.
const MOST: usize = 1000;

static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Whether a cause is new.
fn is_new(cause: String) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() >= MOST {
        said.clear();
    }
    said.insert(cause)
}

/// Warns with this text, unless a warning with the same cause was given before.
pub(crate) fn warn_once(cause: &dyn Display, text: &str) {
    if is_new(cause.to_string()) {
        tracing::warn!("{text}");
    }
}

/// Warns of a file that can't be used, and says what happens instead and what to do. What stops one
/// file of a folder stops the others too, and a foreign owner all of a user's caches: each is said
/// once.
pub(crate) fn warn_of(error: &FileError, then: &str) {
    warn_once(&cause(error), &format!("{error}; {then}"));
}

/// What is to blame for an error.
fn cause(error: &FileError) -> String {
    match error {
        FileError::Io { file, message, .. } => {
            format!("{}: {message}", folder_of(Path::new(file)).display())
        }
        FileError::Foreign { owner, .. } => format!("owner {owner}"),
        FileError::Damaged { file, .. } => file.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let io = |file: &str, doing| FileError::Io {
            file: file.into(),
            doing,
            message: "no".into(),
        };
        assert!(is_new(cause(&io("warned/a", "read the file"))));
        assert!(!is_new(cause(&io("warned/b", "write the file"))));
        assert!(is_new(cause(&io("elsewhere/b", "write the file"))));
        let foreign = |file: &str| FileError::Foreign {
            file: file.into(),
            owner: 7,
            user: 8,
        };
        assert_eq!(cause(&foreign("warned/a")), cause(&foreign("elsewhere")));
        let damaged = |file: &str| FileError::Damaged {
            file: file.into(),
            why: "it is cut short".into(),
        };
        assert_ne!(cause(&damaged("warned/a")), cause(&damaged("warned/b")));
    }
}
