//! The input history of chats: one file that all of them share.
//!
//! Its form is the line editor's: a first line `#V2`, then a line for each entry, in which `\n` is
//! a line's end and `\\` a backslash.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use godwit::errors::FileError;
use godwit::low_level::io::durable::{Readers, means_no_locks, open_lock, write_bytes};
use godwit::low_level::io::open::open_private;
use godwit::low_level::io::private::make_private_folder;

const FIRST_LINE: &str = "#V2";
/// Entries that are kept.
const MOST: usize = 100;
/// The longest file that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// How often, and how many times, a lock that another chat holds is tried.
const POLL: Duration = Duration::from_millis(10);
const TRIES: u32 = 100;

/// The history on disk.
pub struct History {
    folder: PathBuf,
}

impl History {
    /// The user's own; none where there is no home folder.
    pub fn of_user() -> Option<Self> {
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
        Some(Self {
            folder: state.join("godwit"),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("chat_history")
    }

    /// The entries, the oldest first.
    ///
    /// # Errors
    /// The file can't be read, or belongs to another user.
    pub fn entries(&self) -> Result<Vec<String>, FileError> {
        let path = self.path();
        let Some((file, _)) = open_private(&path)? else {
            return Ok(Vec::new());
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| io_error(&path, "read the history", &error))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().peekable();
        let is_escaped = lines.next_if_eq(&FIRST_LINE).is_some();
        let lines = lines.filter(|line| !line.is_empty());
        Ok(lines
            .map(|line| {
                if is_escaped {
                    unescaped(line)
                } else {
                    line.to_owned()
                }
            })
            .collect())
    }

    /// Adds an entry behind those that are there, also those of other chats; the oldest make room.
    ///
    /// # Errors
    /// The file can't be read or written, or belongs to another user.
    pub fn add(&self, text: &str) -> Result<(), FileError> {
        make_private_folder(&self.folder)?;
        let lock = self.folder.join("chat_history.lock");
        let _lock = locked(&lock).map_err(|error| io_error(&lock, "lock the history", &error))?;
        let mut entries = self.entries()?;
        if text.is_empty() || entries.last().is_some_and(|last| last == text) {
            return Ok(());
        }
        entries.push(text.to_owned());
        let mut file = String::from(FIRST_LINE);
        for entry in &entries[entries.len().saturating_sub(MOST)..] {
            file.push('\n');
            file.push_str(&escaped(entry));
        }
        file.push('\n');
        let path = self.path();
        write_bytes(&path, Readers::Owner, file.as_bytes())
            .map_err(|error| io_error(&path, "write the history", &error))
    }
}

fn io_error(path: &std::path::Path, doing: &'static str, error: &io::Error) -> FileError {
    FileError::io(path, doing, error)
}

/// Waits for a lock, a second at most: a chat that was suspended may hold it.
fn locked(path: &std::path::Path) -> io::Result<File> {
    let file = open_lock(path, Readers::Owner)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => thread::sleep(POLL),
            // Where there are no locks, chats at the same time may lose an entry.
            Err(std::fs::TryLockError::Error(error)) if !means_no_locks(&error) => {
                return Err(error);
            }
            _ => return Ok(file),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn escaped(entry: &str) -> String {
    entry.replace('\\', r"\\").replace('\n', r"\n")
}

fn unescaped(line: &str) -> String {
    let mut entry = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
            letter => entry.push(letter),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = || History {
            folder: folder.path().join("godwit"),
        };
        thread::scope(|scope| {
            for chat in 0..4 {
                scope.spawn(move || {
                    for message in 0..20 {
                        history()
                            .add(&format!("{chat} \\ {message}\nnext"))
                            .expect("it is kept");
                    }
                });
            }
        });
        let entries = history().entries().expect("it is read");
        assert_eq!(entries.len(), 80);
        for chat in 0..4 {
            let own: Vec<_> = entries
                .iter()
                .filter(|entry| entry.starts_with(&chat.to_string()))
                .collect();
            assert!(
                (0..20).all(|i| *own[i] == format!("{chat} \\ {i}\nnext")),
                "{own:?}"
            );
        }
        for i in 0..30 {
            history().add(&format!("more {i}")).expect("it is kept");
            history().add(&format!("more {i}")).expect("it is there");
        }
        #[cfg(unix)]
        for file in ["chat_history", "chat_history.lock"] {
            use std::os::unix::fs::MetadataExt as _;
            let mode = folder
                .path()
                .join("godwit")
                .join(file)
                .metadata()
                .expect("a file")
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let entries = history().entries().expect("it is read");
        assert_eq!(
            (entries.len(), entries.last().map(String::as_str)),
            (MOST, Some("more 29"))
        );
    }

    /// As on a disk that is full: the system lets files grow to no more than a few blocks.
    #[cfg(unix)]
    #[test]
    fn a_full_disk_leaves_the_history_as_it_was() {
        const FOLDER: &str = "GODWIT_TEST_HISTORY";
        if let Some(folder) = std::env::var_os(FOLDER) {
            let history = History {
                folder: folder.into(),
            };
            let error = history
                .add(&"x".repeat(4000))
                .expect_err("no room")
                .to_string();
            assert!(
                error.contains("chat_history") && error.contains("another disk"),
                "{error}"
            );
            assert_eq!(history.entries(), Ok(vec!["kept".into()]));
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let history = History {
            folder: folder.path().into(),
        };
        history.add("kept").expect("room");
        let test = "history::tests::a_full_disk_leaves_the_history_as_it_was";
        let shell = "trap '' XFSZ; ulimit -f 2; exec \"$0\" --exact \"$1\"";
        let mut child = std::process::Command::new("sh");
        child
            .args(["-c", shell])
            .arg(std::env::current_exe().expect("this program"))
            .arg(test);
        let output = child
            .env(FOLDER, folder.path())
            .output()
            .expect("it starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(history.entries(), Ok(vec!["kept".into()]));
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["chat_history", "chat_history.lock"]);
    }

    #[test]
    fn the_editor_s_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History {
            folder: folder.path().into(),
        };
        assert_eq!(history.entries(), Ok(Vec::new()));
        std::fs::write(history.path(), "#V2\nfirst\\nline\nC:\\\\x\n").expect("a file");
        assert_eq!(
            history.entries(),
            Ok(vec!["first\nline".into(), "C:\\x".into()])
        );
        std::fs::write(history.path(), "old\\n\nlines\n").expect("a file");
        assert_eq!(history.entries(), Ok(vec!["old\\n".into(), "lines".into()]));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History {
            folder: folder.path().into(),
        };
        let made = std::process::Command::new("mkfifo")
            .arg(history.path())
            .status()
            .expect("mkfifo");
        assert!(made.success() && history.entries().is_err() && history.add("x").is_err());
    }
}
