//! Tests of durable files: links, rights, leftovers, and processes that are killed.

use std::cell::Cell;

use super::parts::{FOREIGN_AGE, Part, host, part};
use super::*;
use crate::Error;

thread_local! {
    /// Whether this thread does without `O_TMPFILE`.
    pub(super) static NAMED_ONLY: Cell<bool> = const { Cell::new(false) };
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Both ways, one after the other: files without names, and files under other names.
fn both_ways(test: impl Fn()) {
    for named in [false, true] {
        NAMED_ONLY.set(named);
        test();
    }
    NAMED_ONLY.set(false);
}

#[test]
fn a_file_that_appears_meanwhile_stays() {
    both_ways(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let keep = |path: &Path| {
            pollster::block_on(write_guarded::<Error, Error>(
                path,
                Readers::Umask,
                || {
                    fs::write(path, "another's").expect("a file");
                    Ok(Existing::Keep)
                },
                async |out| {
                    out.write_all(b"ours")
                        .map_err(|error| Error::Write(error.to_string()))
                },
            ))
        };
        let error = keep(&path).expect_err("it is there").to_string();
        assert!(error.contains("out"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "another's");
        assert_eq!(names(folder.path()), ["out"]);
    });
}

#[test]
fn a_file_that_is_replaced_is_the_old_or_the_new_one() {
    both_ways(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        for content in ["first", "second"] {
            write_bytes(&path, Readers::Owner, content.as_bytes()).expect("it is written");
            assert_eq!(fs::read_to_string(&path).expect("readable"), content);
        }
        let failed = pollster::block_on(write_atomically(&path, async |out| {
            out.write_all(b"third")
                .map_err(|error| Error::Write(error.to_string()))?;
            Err(Error::Stopped)
        }));
        assert_eq!(failed, Err(Error::Stopped));
        assert_eq!(fs::read_to_string(&path).expect("readable"), "second");
        assert_eq!(names(folder.path()), ["out"]);
        // A folder stands where the file is to be.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert!(write_bytes(&path, Readers::Owner, b"fourth").is_err() && path.is_dir());
        assert_eq!(names(folder.path()), ["out"]);
    });
}

#[cfg(unix)]
#[test]
fn caches_are_private_and_outputs_follow_the_umask() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    // As the system makes a file for a program that asks for nothing in particular.
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    fs::write(&plain, "x").expect("a file");
    let usual = plain.metadata().expect("a file").mode() & 0o777;
    both_ways(|| {
        let path = folder.path().join("out");
        let write = |readers| {
            let guard = || Ok::<_, Error>(Existing::Replace);
            pollster::block_on(write_guarded(&path, readers, guard, async |_| {
                Ok::<_, Error>(())
            }))
            .expect("it is written");
            path.metadata().expect("a file").mode() & 0o777
        };
        assert_eq!(write(Readers::Owner), 0o600);
        fs::remove_file(&path).expect("removed");
        assert_eq!(write(Readers::Umask), usual);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("other permissions");
        assert_eq!(write(Readers::Umask), 0o640);
        fs::remove_file(&path).expect("removed");
    });
}

#[test]
fn only_what_no_process_holds_is_swept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let [left, live] = ["0123456789abcdef", "fedcba9876543210"]
        .map(|random| format!(".godwit-{}{random}.part", host()));
    let [left, live] = [left.as_str(), live.as_str()];
    // Another program's, a person's, and a new one of an earlier version or another computer.
    let others = [
        ".godwit-abc.part",
        ".godwit-0123456789abcde!.part",
        "x.part",
        "notes",
        ".godwit-Ab3dE9.part",
    ];
    for name in [&[left, live][..], &others].concat() {
        fs::write(path(name), "x").expect("a file");
    }
    let held = File::open(path(live)).expect("a file");
    held.try_lock().expect("a lock");
    NAMED_ONLY.set(true);
    let being_written = NewFile::create(&path("new"), Readers::Owner).expect("a file");
    let own = names(folder.path())
        .into_iter()
        .find(|name| !others.contains(&&**name) && name != live);
    NAMED_ONLY.set(false);
    let own = own.expect("the new file's other name");
    assert!(part(&own) == Some(Part::Own) && own != left, "{own}");
    sweep(folder.path());
    let mut expected = [&others[..], &[live, &own]].concat();
    expected.sort_unstable();
    assert_eq!(names(folder.path()), expected);
    drop((held, being_written));
    let old = std::time::SystemTime::now() - 2 * FOREIGN_AGE;
    let foreign = File::options()
        .write(true)
        .open(path(others[4]))
        .expect("a file");
    foreign.set_modified(old).expect("a time");
    drop(foreign);
    sweep(folder.path());
    let mut expected = others[..4].to_vec();
    expected.sort_unstable();
    assert_eq!(names(folder.path()), expected);
}

#[cfg(unix)]
#[test]
fn links_are_replaced_not_followed() {
    both_ways(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, target) = (folder.path().join("out"), folder.path().join("target"));
        fs::write(&target, "another's").expect("a file");
        std::os::unix::fs::symlink(&target, &path).expect("a link");
        write_bytes(&path, Readers::Owner, b"ours").expect("it is written");
        assert_eq!(fs::read_to_string(&target).expect("readable"), "another's");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "ours");
    });
}

/// The process is killed at each point of writing, once with and once without `O_TMPFILE`, and
/// the next one finds the old file or the new one, and leaves nothing behind.
#[cfg(unix)]
#[test]
fn a_process_that_is_killed_leaves_whole_files_and_no_parts() {
    use crate::io::crash;
    // The process that is killed runs this very test.
    if let Some(folder) = crash::folder_of_child() {
        NAMED_ONLY.set(folder.ends_with("named"));
        let path = folder.join("out");
        for content in [[b'b'; 5000], [b'c'; 5000]] {
            write_bytes(&path, Readers::Owner, &content).expect("it is written");
        }
        pollster::block_on(write_atomically(&folder.join("new"), async |out| {
            for part in content_of_new().chunks(3000) {
                out.write_all(part)
                    .and_then(|()| out.flush())
                    .map_err(|error| Error::Write(error.to_string()))?;
                crash_point();
            }
            Ok::<_, Error>(())
        }))
        .expect("it is written");
        let (from, to) = (folder.join("download.incomplete"), folder.join("download"));
        fs::write(&from, "d").expect("a file");
        finish(File::open(&from).expect("a file"), &from, &to).expect("it is moved");
        return;
    }
    let name = "io::durable::tests::a_process_that_is_killed_leaves_whole_files_and_no_parts";
    for way in ["unnamed", "named"] {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join(way);
        let mut points = 0;
        loop {
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join("out"), [b'a'; 5000]).expect("a file");
            let was_killed = crash::run_child(name, &folder, points);
            let out = fs::read(folder.join("out")).expect("the old file or the new one");
            assert!(
                out.len() == 5000 && out.iter().all(|&byte| byte == out[0]),
                "{way}, point {points}"
            );
            assert!(b"abc".contains(&out[0]));
            if let Ok(new) = fs::read(folder.join("new")) {
                assert!(new == content_of_new(), "{way}, point {points}");
            }
            // The next process that uses the folder.
            write_bytes(&folder.join("other"), Readers::Owner, b"x").expect("it is written");
            let known = ["download", "download.incomplete", "new", "other", "out"];
            assert!(
                names(&folder).iter().all(|name| known.contains(&&**name)),
                "{way}, point {points}: {:?}",
                names(&folder)
            );
            fs::remove_dir_all(&folder).expect("removed");
            if !was_killed {
                break;
            }
            points += 1;
        }
        assert!(points >= 15, "{way}: {points} points");
    }
}

fn content_of_new() -> Vec<u8> {
    (0..10_000_u32).map(|i| (i % 251) as u8).collect()
}
