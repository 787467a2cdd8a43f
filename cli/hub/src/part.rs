//! A file as it arrives: what is there of it on the disk, and its hash so far.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use godwit::low_level::io::durable;
use godwit::low_level::io::open::{Readers, open_to_append};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::crash_point::crash_point;
use super::listing::Digest;

enum Hasher {
    Sha256(Sha256),
    Sha1(Sha1),
}

impl Hasher {
    fn new(digest: &Digest, bytes: u64) -> Self {
        match digest {
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
            // Git's hash covers the kind and the length before the contents.
            Digest::GitBlob(_) => Self::Sha1(Sha1::new_with_prefix(format!("blob {bytes}\0"))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
        }
    }

    fn hex(self) -> String {
        let bytes = match self {
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The beginning of a file. It is always a beginning: bytes are only added at the end, so its
/// length says where to go on.
pub struct Part {
    path: PathBuf,
    file: File,
    digest: Digest,
    bytes: u64,
    hasher: Hasher,
    len: u64,
}

impl Part {
    /// Opens what is there from an earlier time, or begins. `bytes`: the length of the whole.
    pub fn open(path: &Path, digest: &Digest, bytes: u64) -> io::Result<Self> {
        let file = open_to_append(path, Readers::Umask)?;
        crash_point();
        let hasher = Hasher::new(digest, bytes);
        let mut part = Self {
            path: path.into(),
            file,
            digest: digest.clone(),
            bytes,
            hasher,
            len: 0,
        };
        if part.file.metadata()?.len() > bytes {
            part.restart()?;
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            match part.file.read(&mut buffer)? {
                0 => return Ok(part),
                count => {
                    part.hasher.update(&buffer[..count]);
                    part.len += count as u64;
                }
            }
        }
    }

    /// The hash that the whole file is to have.
    pub fn hex(&self) -> &str {
        self.digest.hex()
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no more bytes are to come.
    pub fn is_full(&self) -> bool {
        self.len >= self.bytes
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Hasher::new(&self.digest, self.bytes);
        self.len = 0;
        Ok(())
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        crash_point();
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Moves the file to where it belongs if its hash is the right one; removes it and returns its
    /// hash if not.
    pub fn finish(self, to: &Path) -> io::Result<Result<(), String>> {
        let found = self.hasher.hex();
        crash_point();
        if found != self.digest.hex() {
            fs::remove_file(&self.path)?;
            return Ok(Err(found));
        }
        durable::finish(self.file, &self.path, to)?;
        crash_point();
        Ok(Ok(()))
    }

    /// Removes the file.
    pub fn discard(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_git_s_and_the_standard_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let (part, whole) = (folder.path().join("x.incomplete"), folder.path().join("x"));
        // `git hash-object` and `sha256sum` of "hello\n".
        let git = Digest::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a".into());
        let sha = Digest::Sha256(
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".into(),
        );
        for digest in [git, sha] {
            let mut first = Part::open(&part, &digest, 6).expect("a file");
            first.push(b"hel").expect("written");
            drop(first);
            let mut second = Part::open(&part, &digest, 6).expect("a file");
            assert_eq!((second.len(), second.is_full()), (3, false));
            second.push(b"lo\n").expect("written");
            assert_eq!(second.finish(&whole).expect("moved"), Ok(()));
            assert_eq!(fs::read(&whole).expect("the file"), b"hello\n");
            let mut wrong = Part::open(&part, &digest, 6).expect("a file");
            wrong.push(b"hella\n").expect("written");
            assert!(wrong.finish(&whole).expect("removed").is_err() && !part.exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let [part, other] = ["x.incomplete", "notes"].map(|name| folder.path().join(name));
        let sha = Digest::Sha256(
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".into(),
        );
        let refused = |what: &str| {
            let error = Part::open(&part, &sha, 6).err().expect(what).to_string();
            assert!(
                error.contains("remove it") || error.contains("regular file"),
                "{what}: {error}"
            );
            assert_eq!(
                fs::read(&other).expect("notes"),
                b"longer than the part",
                "{what}"
            );
            fs::remove_file(&part).expect("removed");
        };
        fs::write(&other, b"longer than the part").expect("a file");
        std::os::unix::fs::symlink(&other, &part).expect("a link");
        refused("a link");
        fs::hard_link(&other, &part).expect("a link");
        refused("a second name");
        let made = std::process::Command::new("mkfifo")
            .arg(&part)
            .status()
            .expect("mkfifo");
        assert!(made.success());
        refused("a pipe");
    }
}
