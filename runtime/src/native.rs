//! Files: model files from the file system, and files that are written whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::Mmap;

use crate::checkpoint::{Checkpoint, Repository, is_part};
use crate::error::Error;
use crate::format::{Bytes, Fault, FormatError, Gguf, Source, copy_from};
use crate::kinds;
use crate::saved::SavedError;

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
            Ok(Box::new(Mapped { name, map }))
        }
        Access::Plain => Ok(Box::new(Plain { name, path: path.into(), len, file: Mutex::new(file) })),
    }
}

struct Mapped {
    name: String,
    map: Mmap,
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
}

/// The folder that a file is in, or will be.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file that is there whole or not at all: under another name first, in the same folder.
///
/// # Errors
/// What `write` says, or the file can't be written.
pub async fn write_atomically(
    path: &Path,
    write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let io = |error: io::Error| SavedError::Io(format!("{}: {error}", path.display()));
    let mut part =
        tempfile::Builder::new().prefix(".godwit-").suffix(".part").tempfile_in(folder_of(path)).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 20, part.as_file_mut());
    write(&mut out).await?;
    out.flush().map_err(io)?;
    drop(out);
    part.as_file().sync_all().map_err(io)?;
    part.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}
