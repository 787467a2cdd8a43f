//! Room in a cache folder: the files that were not used for the longest time go first.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::open::{Links, open_regular};

/// Notes that a file was used. Where times can't be set, the order of eviction suffers, nothing
/// else.
pub(crate) fn touch(file: &File) {
    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
}

/// Deletes files of a cache that were not used for the longest time, until there is room for
/// `bytes` more below `most_bytes`. Only files with a name that `is_own` accepts are looked at: a
/// person may have put others into the folder.
///
/// Other processes may delete and write files here at the same time.
///
/// # Errors
/// The folder can't be read, or a file can't be deleted.
pub(crate) fn make_room(
    folder: &Path,
    is_own: impl Fn(&Path) -> bool,
    bytes: u64,
    most_bytes: u64,
) -> io::Result<()> {
    let now = SystemTime::now();
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if !is_own(&path) {
            continue;
        }
        // Another process may have deleted it just now.
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        files.push((used, metadata.len(), path));
    }
    files.sort();
    // After the clock was set back, files of before would stay for ever, and new ones go first.
    for (used, _, path) in files.iter().filter(|(used, ..)| *used > now) {
        tracing::debug!(
            "{}: its time {used:?} is yet to come, and is set to now",
            path.display()
        );
        if let Ok((file, _)) = open_regular(path, Links::Refuse) {
            touch(&file);
        }
    }
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if total.saturating_add(bytes) <= most_bytes {
            break;
        }
        match fs::remove_file(path) {
            // Windows deletes no file that another process has mapped: the next one goes.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Deleted here, or by another process.
            _ => total -= len,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_does_not_turn_the_order_round() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, age: i64| {
            let file = File::create(folder.path().join(name)).expect("a file");
            file.set_len(10).expect("a length");
            let by = Duration::from_secs(age.unsigned_abs());
            let time = if age < 0 {
                SystemTime::now() + by
            } else {
                SystemTime::now() - by
            };
            file.set_times(FileTimes::new().set_modified(time))
                .expect("a time");
        };
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("a folder");
            let mut names: Vec<_> = entries
                .map(|entry| entry.expect("an entry").file_name())
                .collect();
            names.sort();
            names
        };
        // Two of before the clock was set back, by a year.
        write("late", -31_000_000);
        write("later", -31_000_100);
        write("old", 100);
        let all = |_: &Path| true;
        make_room(folder.path(), all, 10, 30).expect("room");
        assert_eq!(names(), ["late", "later"]);
        // One that is newer by the clock as it is stays longer.
        std::thread::sleep(Duration::from_millis(20));
        write("new", 0);
        make_room(folder.path(), all, 10, 20).expect("room");
        assert_eq!(names(), ["new"]);
        make_room(folder.path(), |path| path.ends_with("other"), 10, 5).expect("nothing of ours");
        assert_eq!(names(), ["new"]);
        make_room(&folder.path().join("none"), all, 10, 5).expect("no folder");
    }
}
