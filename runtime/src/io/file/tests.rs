//! Tests of files as sources, and of small files with a checksum.

use super::opened::SETTLED;
use super::*;
use crate::io::FileError;

#[test]
fn small_files_are_believed_only_as_they_were_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made/here.json");
    assert_eq!(read_checked::<Vec<u32>>(&path), Ok(None));
    write_checked(&path, vec![7_u32, 8]).expect("it is written");
    assert_eq!(read_checked::<Vec<u32>>(&path), Ok(Some(vec![7, 8])));
    let text = std::fs::read_to_string(&path).expect("a readable file");
    // Cut short, changed, of another version, or noise.
    for damaged in [
        &text[..text.len() / 2],
        &text.replace('7', "9"),
        "[7, 8]",
        "",
        "\0\u{fffd}",
    ] {
        std::fs::write(&path, damaged).expect("a damaged file");
        let error = read_checked::<Vec<u32>>(&path).expect_err(damaged);
        assert!(
            matches!(error, FileError::Damaged { .. }),
            "{damaged}: {error}"
        );
    }
    // A failure to read is no damage.
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    let error = read_checked::<Vec<u32>>(&path).expect_err("a folder");
    assert!(
        matches!(&error, FileError::Io { file, .. } if file.ends_with("here.json")),
        "{error}"
    );
}

/// As on a disk that is full: hashes of weights and what was measured of a GPU are such files.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_small_files_as_they_were() {
    const FOLDER: &str = "GODWIT_TEST_SMALL_FILES";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let path = PathBuf::from(folder).join("here.json");
        let error = write_checked(&path, vec![8_u32; 2000])
            .expect_err("no room")
            .to_string();
        assert!(
            error.contains("here.json") && error.contains("another disk"),
            "{error}"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("here.json");
    write_checked(&path, vec![7_u32]).expect("room");
    let test = "io::file::tests::a_full_disk_leaves_small_files_as_they_were";
    let shell = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact \"$1\"";
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
    assert_eq!(read_checked::<Vec<u32>>(&path), Ok(Some(vec![7])));
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1
    );
}

fn read(file: &dyn Source) -> Result<[u8; 8], SourceError> {
    let mut bytes = [0; 8];
    file.read(100_000, &mut bytes).map(|()| bytes)
}

#[test]
fn a_file_that_changes_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let cut = |len: u64| {
        let file = File::options().write(true).open(&path).expect("a file");
        file.set_len(len).expect("another length");
    };
    for access in [Access::Mapped, Access::Plain] {
        std::fs::write(&path, vec![7; 200_000]).expect("a file");
        let file = open_file_with(&path, access).expect("it opens");
        assert_eq!(read(file.as_ref()), Ok([7; 8]));
        for len in [50_000, 300_000] {
            cut(len);
            let error = read(file.as_ref()).expect_err("it was changed").to_string();
            let says = [path.display().to_string(), len.to_string()];
            assert!(
                says.iter().all(|part| error.contains(part)),
                "{access:?}: {error}"
            );
            // Advice that was followed already is none.
            assert_eq!(
                error.contains("--no-mmap"),
                access == Access::Mapped,
                "{error}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn the_path_of_an_identity_is_the_opened_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        std::fs::write(path(name), name.repeat(5000)).expect("a file");
    }
    std::os::unix::fs::symlink(path("a"), path("link")).expect("a link");
    std::thread::sleep(2 * SETTLED);
    let file = open_file_with(&path("link"), Access::Mapped).expect("it opens");
    // The link leads elsewhere now, and the open file does not.
    std::fs::remove_file(path("link")).expect("removed");
    std::os::unix::fs::symlink(path("b"), path("link")).expect("a link");
    let real = path("a")
        .canonicalize()
        .expect("a path")
        .display()
        .to_string();
    assert_eq!(file.identity().map(|identity| identity.name), Some(real));
    assert!(file.path().is_some_and(|path| path.ends_with("a")));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe.gguf");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let cause = |path: &Path| {
        open_file_with(path, Access::Mapped)
            .err()
            .expect("no file")
            .cause
    };
    assert_eq!(cause(&pipe), SourceCause::NotRegular);
    assert_eq!(cause(Path::new("/dev/zero")), SourceCause::NotRegular);
    assert_eq!(cause(folder.path()), SourceCause::Folder);
    assert_eq!(cause(&folder.path().join("none")), SourceCause::Missing);
    // A small file of a cache, too: that one waits for no writer either.
    assert!(matches!(
        read_checked::<u32>(&pipe),
        Err(FileError::Io { .. })
    ));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("a"), &link).expect("a link");
    std::fs::write(folder.path().join("a"), "{}").expect("a file");
    let error = read_checked::<u32>(&link).expect_err("a link").to_string();
    assert!(error.contains("it is a link"), "{error}");
}
