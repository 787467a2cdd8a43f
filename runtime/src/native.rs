//! Files: model files from the file system, and files that are written whole or not at all.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Repository, is_part};
use crate::error::{Error, FileError};
use crate::format::{Bytes, Fault, FormatError, Gguf, Identity, Source, copy_from};
use crate::kinds;

/// How a file's bytes get into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped: fast, and only what is used is read. A file that shrinks while it is in use ends the process, and one that
    /// changes gives other weights.
    #[default]
    Mapped,
    /// Read piece by piece, for files that may change and for network drives: a file that shrinks is an error.
    Plain,
}

/// Opens a model, memory-mapped: a GGUF file, or the folder of a repository with safetensors, which may also be given by its
/// `config.json` or one of its weight files.
///
/// # Errors
/// Names the file that is missing, or what is wrong with it; what is no model is called what it is.
pub fn open_checkpoint(path: &Path) -> Result<Arc<dyn Checkpoint>, Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = match path.is_dir() {
        true => path,
        false if path.is_file() && name.starts_with("adapter_") => {
            return Err(kinds::adapter(folder_of(path), path).into());
        }
        false if path.is_file() && is_part(name) => folder_of(path),
        false => return Ok(Arc::new(Gguf::read(open_parts(path)?)?)),
    };
    if !folder.join("config.json").exists() {
        return Err(kinds::of_folder(folder).into());
    }
    let read = Repository::read(&folder.display().to_string(), open_folder(folder)?);
    Ok(Arc::new(read.map_err(|error| kinds::without_weights(folder, error))?))
}

/// Opens the files of a repository that matter. Links are followed wherever they lead: whoever names a folder has made its links,
/// or had them made. What an index inside names is looked for among these files, so that it can't lead elsewhere.
fn open_folder(folder: &Path) -> Result<Vec<Box<dyn Source>>, FormatError> {
    let read = |error: io::Error| io(folder, "read the folder", &error);
    let mut files: Vec<Box<dyn Source>> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_part(name)) else { continue };
        // An empty file can't be mapped, and says as much as one that is missing.
        let is_empty = std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
        if is_empty && !name.ends_with(".safetensors") {
            files.push(Box::new(Bytes { name: path.display().to_string(), data: Vec::new() }));
            continue;
        }
        files.push(open(&path, Access::Mapped)?);
    }
    Ok(files)
}

fn link_target(path: &Path) -> String {
    std::fs::read_link(path).map_or_else(|error| error.to_string(), |target| target.display().to_string())
}

/// Opens a model file, memory-mapped; of a model in several files, all parts.
///
/// The path may be of any part: `name-00002-of-00003.gguf` opens the three files of that pattern in its folder.
///
/// # Errors
/// Names the file that is missing, empty, a folder, or can't be read.
pub fn open_parts(path: &Path) -> Result<Vec<Box<dyn Source>>, FormatError> {
    open_parts_with(path, Access::Mapped)
}

/// [`open_parts`], with a choice of how the files are read.
///
/// # Errors
/// Names the file that is missing, empty, a folder, or can't be read.
pub fn open_parts_with(path: &Path, access: Access) -> Result<Vec<Box<dyn Source>>, FormatError> {
    let Some(pattern) = path.file_name().and_then(|name| Pattern::of(name.to_str()?)) else {
        let file = open(path, access)?;
        return match kinds::piece(path) {
            Some(error) => Err(error),
            None => Ok(vec![file]),
        };
    };
    let part_path = |part| path.with_file_name(pattern.name(part));
    // The named file's own fault comes first: its name may have been mistyped.
    check(path)?;
    (1..=pattern.parts)
        .map(|part| {
            let path = part_path(part);
            if !path.exists() {
                let fault = Fault::PartMissing { part, parts: pattern.parts };
                return Err(FormatError::file(path.display().to_string(), fault));
            }
            open(&path, access)
        })
        .collect()
}

/// Opens one file, memory-mapped.
///
/// # Errors
/// The file is missing, empty, a folder, or can't be read.
pub fn open_file(path: &Path) -> Result<Box<dyn Source>, FormatError> {
    open(path, Access::Mapped)
}

/// `stem-00001-of-00003.gguf`, taken apart.
struct Pattern<'a> {
    stem: &'a str,
    parts: u64,
}

impl<'a> Pattern<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let number = |text: &str| {
            let digits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse::<u64>().ok() } else { None }
        };
        let (rest, parts) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        let (part, parts) = (number(part)?, number(parts)?);
        (1..=parts).contains(&part).then_some(Self { stem, parts })
    }

    fn name(&self, part: u64) -> String {
        format!("{}-{part:05}-of-{:05}.gguf", self.stem, self.parts)
    }
}

fn io(path: &Path, doing: &'static str, error: &std::io::Error) -> FormatError {
    let fault = match error.kind() {
        ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Io { doing, message: error.to_string() },
    };
    FormatError::file(path.display().to_string(), fault)
}

/// The length of a regular file. Asked before opening: opening a pipe would wait for its writer.
fn check(path: &Path) -> Result<u64, FormatError> {
    if path.is_symlink() && !path.exists() {
        let message = format!("it leads nowhere ({})", link_target(path));
        return Err(FormatError::file(path.display().to_string(), Fault::Io { doing: "follow the link", message }));
    }
    let metadata = std::fs::metadata(path).map_err(|error| io(path, "look at the file", &error))?;
    let fault = if metadata.is_dir() {
        Fault::Folder
    } else if !metadata.is_file() {
        Fault::NotRegular
    } else if metadata.len() == 0 {
        Fault::Empty
    } else {
        return Ok(metadata.len());
    };
    Err(FormatError::file(path.display().to_string(), fault))
}

fn open(path: &Path, access: Access) -> Result<Box<dyn Source>, FormatError> {
    let len = check(path)?;
    let file = File::open(path).map_err(|error| io(path, "open the file", &error))?;
    let name = path.display().to_string();
    match access {
        Access::Mapped => {
            // SAFETY: The map is read-only. The bytes may change if another process writes to the file: they are only ever
            // copied or read as plain numbers, so other bytes mean other weights. Everything that is trusted (offsets,
            // lengths) was copied out of the map before it was checked. A file that is cut short raises a signal, as
            // `Access::Mapped` says; `Access::Plain` is there for such files.
            let map = unsafe { Mmap::map(&file) }.map_err(|error| io(path, "map the file", &error))?;
            Ok(Box::new(Mapped { name, path: path.into(), map, file }))
        }
        Access::Plain => Ok(Box::new(Plain { name, path: path.into(), len, file: Mutex::new(file) })),
    }
}

/// The age from which a file's times tell whether it was written since: clocks of file systems tick
/// every few milliseconds, or every two seconds where they count in whole seconds.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// What tells an open file from others, and from its earlier contents, without reading it. None
/// where its times can't tell: a write that follows at once would leave them as they are.
fn identity(path: &Path, file: &File) -> Option<Identity> {
    let metadata = file.metadata().ok()?;
    let modified = metadata.modified().ok()?;
    let changed = changed(&metadata).unwrap_or(modified);
    for time in [modified, changed] {
        let whole_seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.subsec_nanos() == 0;
        let settled = if whole_seconds { SETTLED_COARSE } else { SETTLED };
        // A time in the future, by another computer's clock, tells nothing either.
        SystemTime::now().duration_since(time).ok().filter(|age| *age >= settled)?;
    }
    let nanoseconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|t| t.as_nanos());
    let created = metadata.created().ok().and_then(nanoseconds).unwrap_or(0);
    let state = format!(
        "{} bytes, modified {}, changed {}, created {created}, file {}",
        metadata.len(),
        nanoseconds(modified)?,
        nanoseconds(changed)?,
        file_number(&metadata),
    );
    Some(Identity { name: path.canonicalize().ok()?.to_string_lossy().into_owned(), state })
}

/// When the file's content or its entry changed: nobody can set that back.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).ok()?))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<SystemTime> {
    None
}

/// The file's number on its disk, and the disk's.
#[cfg(unix)]
fn file_number(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("{} on {}", metadata.ino(), metadata.dev())
}

#[cfg(not(unix))]
fn file_number(_: &Metadata) -> String {
    "unknown".into()
}

struct Mapped {
    name: String,
    path: PathBuf,
    map: Mmap,
    file: File,
}

impl Source for Mapped {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), FormatError> {
        copy_from(&self.name, &self.map, offset, into)
    }

    fn mapped(&self) -> Option<&[u8]> {
        Some(&self.map)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn identity(&self) -> Option<Identity> {
        identity(&self.path, &self.file)
    }
}

struct Plain {
    name: String,
    path: PathBuf,
    len: u64,
    file: Mutex<File>,
}

impl Source for Plain {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), FormatError> {
        // A poisoned lock holds no broken state: each read seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let done = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(into));
        done.map_err(|error| io(&self.path, "read the file", &error).at(offset))
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn identity(&self) -> Option<Identity> {
        identity(&self.path, &self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The folder that a file is in, or will be.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What happens to a file that is at the path already when a new one is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// There is none: one that appeared meanwhile stays, and writing fails.
    Keep,
}

/// Writes a file that is there whole or not at all: under another name first, in the same folder.
/// What was at the path is replaced.
///
/// # Errors
/// What `write` says, or the file can't be written. Errors of writing name the file.
pub async fn write_atomically(
    path: &Path,
    write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
) -> Result<(), Error> {
    write_guarded(path, || Ok(Existing::Replace), write).await
}

/// [`write_atomically`], with a last look at what is at the path: `guard` is called when the new
/// file is complete, and says what happens to an existing one.
///
/// # Errors
/// What `write` or `guard` says, or the file can't be written. Errors of writing name the file.
pub async fn write_guarded<E: From<Error>>(
    path: &Path,
    guard: impl FnOnce() -> Result<Existing, E>,
    write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
) -> Result<(), E> {
    let mut part = Part::create(path)?;
    let mut out = part.out();
    write(&mut out).await.map_err(|error| match error {
        // A writer knows its bytes, not their file.
        Error::Write(message) => {
            FileError::Io { file: path.display().to_string(), doing: "write the file", message }.into()
        }
        error => error,
    })?;
    out.flush().map_err(|error| Error::from(FileError::io(path, "write the file", &error)))?;
    drop(out);
    let existing = guard()?;
    Ok(part.finish(existing)?)
}

/// A file in the making, under a name of its own in the folder where it will be.
struct Part<'a> {
    path: &'a Path,
    file: tempfile::NamedTempFile,
}

impl<'a> Part<'a> {
    fn create(path: &'a Path) -> Result<Self, Error> {
        let file = tempfile::Builder::new().prefix(".godwit-").suffix(".part").tempfile_in(folder_of(path));
        let file = file.map_err(|error| FileError::io(path, "create the file", &error))?;
        Ok(Self { path, file })
    }

    fn out(&mut self) -> BufWriter<&mut File> {
        BufWriter::with_capacity(1 << 20, self.file.as_file_mut())
    }

    fn finish(self, existing: Existing) -> Result<(), Error> {
        let io = |error: io::Error| FileError::io(self.path, "write the file", &error);
        self.file.as_file().sync_all().map_err(io)?;
        let persisted = match existing {
            Existing::Replace => self.file.persist(self.path),
            Existing::Keep => self.file.persist_noclobber(self.path).or_else(|error| {
                // Some file systems have no way to rename only where nothing is: a look has to do.
                let is_free = self.path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
                if is_free { error.file.persist(self.path) } else { Err(error) }
            }),
        };
        persisted.map_err(|error| io(error.error))?;
        Ok(())
    }
}

/// A small file of ours, with the hash of its content.
#[derive(Serialize, Deserialize)]
struct Checked<T> {
    content: T,
    blake3: String,
}

fn checksum(content: &impl Serialize) -> String {
    // Content that can't be serialised can't be written either: nothing is compared with the hash
    // of nothing.
    let json = serde_json::to_vec(content).unwrap_or_default();
    blake3::hash(&json).to_hex().to_string()
}

/// The content of a small file that [`write_checked`] wrote; none where there is no file.
///
/// # Errors
/// The file can't be read, or it is proven to be damaged or of another version.
pub(crate) fn read_checked<T: Serialize + DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let json = match std::fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io(path, "read the file", &error)),
    };
    let damaged = |why: &str| FileError::Damaged { file: path.display().to_string(), why: why.into() };
    let checked: Checked<T> =
        serde_json::from_slice(&json).map_err(|_| damaged("it is not what this version of Godwit writes"))?;
    if checksum(&checked.content) != checked.blake3 {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(Some(checked.content))
}

/// Writes a small file with the hash of its content; the folder is made where it is missing.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_checked<T: Serialize>(path: &Path, content: T) -> Result<(), Error> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(|error| FileError::io(folder, "make the folder", &error))?;
    let checked = Checked { blake3: checksum(&content), content };
    let json = serde_json::to_vec_pretty(&checked).map_err(|error| Error::Write(error.to_string()))?;
    let mut part = Part::create(path)?;
    let mut out = part.out();
    out.write_all(&json).and_then(|()| out.flush()).map_err(|error| FileError::io(path, "write the file", &error))?;
    drop(out);
    part.finish(Existing::Replace)
}

/// Hashes the bytes that pass through to a writer.
pub(crate) struct Hashing<W> {
    out: W,
    hash: blake3::Hasher,
}

impl<W: Write> Hashing<W> {
    pub fn new(out: W) -> Self {
        Self { out, hash: blake3::Hasher::new() }
    }

    /// The hash of all bytes so far.
    pub fn hash(&self) -> blake3::Hash {
        self.hash.finalize()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_believed_only_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/here.json");
        assert_eq!(read_checked::<Vec<u32>>(&path), Ok(None));
        write_checked(&path, vec![7_u32, 8]).expect("it is written");
        assert_eq!(read_checked::<Vec<u32>>(&path), Ok(Some(vec![7, 8])));
        let text = std::fs::read_to_string(&path).expect("a readable file");
        // Cut short, changed, of another version, or noise.
        for damaged in [&text[..text.len() / 2], &text.replace('7', "9"), "[7, 8]", "", "\0\u{fffd}"] {
            std::fs::write(&path, damaged).expect("a damaged file");
            let error = read_checked::<Vec<u32>>(&path).expect_err(damaged);
            assert!(matches!(error, FileError::Damaged { .. }), "{damaged}: {error}");
        }
        // A failure to read is no damage.
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a folder");
        let error = read_checked::<Vec<u32>>(&path).expect_err("a folder");
        assert!(matches!(&error, FileError::Io { file, .. } if file.ends_with("here.json")), "{error}");
    }

    #[test]
    fn a_file_that_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let keep = |path: &Path| {
            pollster::block_on(write_guarded::<Error>(
                path,
                || {
                    std::fs::write(path, "another's").expect("a file");
                    Ok(Existing::Keep)
                },
                async |out| out.write_all(b"ours").map_err(|error| Error::Write(error.to_string())),
            ))
        };
        let error = keep(&path).expect_err("it is there").to_string();
        assert!(error.contains("out"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "another's");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
