//! Opens models of the file system: a GGUF file, all parts of one, or a repository's folder.

use std::path::Path;
use std::sync::Arc;

use super::repository::is_part;
use super::{Checkpoint, Repository, kinds};
use crate::error::Error;
use crate::gguf::{FormatCause, FormatError, Gguf};
use crate::io::durable::folder_of;
use crate::io::{Access, Bytes, Source, SourceCause, SourceError, open_file_with};

/// Opens a model, memory-mapped: a GGUF file, or the folder of a repository with safetensors, which
/// may also be given by its `config.json` or one of its weight files.
///
/// # Errors
/// Names the file that is missing, or what is wrong with it; what is no model is called what it is.
pub fn open_checkpoint(path: &Path) -> Result<Arc<dyn Checkpoint>, Error> {
    open_checkpoint_with(path, Access::Mapped)
}

/// [`open_checkpoint`], with a choice of how the files are read.
///
/// # Errors
/// As [`open_checkpoint`].
pub fn open_checkpoint_with(path: &Path, access: Access) -> Result<Arc<dyn Checkpoint>, Error> {
    open(path, access, false)
}

/// [`open_checkpoint_with`], for those who look at a model and do not run it: tensors of types
/// without code are no error.
///
/// # Errors
/// As [`open_checkpoint`].
pub fn open_checkpoint_to_inspect(
    path: &Path,
    access: Access,
) -> Result<Arc<dyn Checkpoint>, Error> {
    open(path, access, true)
}

/// `takes_foreign`: tensor types of GGUF files that have no code are no error.
fn open(path: &Path, access: Access, takes_foreign: bool) -> Result<Arc<dyn Checkpoint>, Error> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let folder = match path.is_dir() {
        true => path,
        false if path.is_file() && name.starts_with("adapter_") => {
            return Err(kinds::adapter(folder_of(path), path).into());
        }
        false if path.is_file() && is_part(name) => folder_of(path),
        false => {
            let parts = open_parts_with(path, access)?;
            return Ok(Arc::new(match takes_foreign {
                true => Gguf::read_to_inspect(parts)?,
                false => Gguf::read(parts)?,
            }));
        }
    };
    if !folder.join("config.json").exists() {
        return Err(kinds::of_folder(folder).into());
    }
    let files = open_folder(folder, access).map_err(FormatError::from)?;
    let read = Repository::read(&folder.display().to_string(), files);
    Ok(Arc::new(
        read.map_err(|error| kinds::without_weights(folder, error))?,
    ))
}

/// Opens the files of a repository that matter. Links are followed wherever they lead: whoever
/// names a folder has made its links, or had them made. What an index inside names is looked for
/// among these files, so that it can't lead elsewhere.
fn open_folder(folder: &Path, access: Access) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let read = |error: std::io::Error| {
        let cause = SourceCause::Io {
            doing: "read the folder",
            message: error.to_string(),
        };
        SourceError::new(folder.display().to_string(), cause)
    };
    let mut files: Vec<Box<dyn Source>> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|name| is_part(name))
        else {
            continue;
        };
        match open_file_with(&path, access) {
            // An empty file can't be mapped, and says as much as one that is missing.
            Err(error) if error.cause == SourceCause::Empty && !name.ends_with(".safetensors") => {
                files.push(Box::new(Bytes {
                    name: path.display().to_string(),
                    data: Vec::new(),
                }));
            }
            file => files.push(file?),
        }
    }
    Ok(files)
}

/// Opens a model file, memory-mapped; of a model in several files, all parts.
///
/// The path may be of any part: `name-00002-of-00003.gguf` opens the three files of that pattern in
/// its folder.
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
    let Some(pattern) = path
        .file_name()
        .and_then(|name| Pattern::of(name.to_str()?))
    else {
        let file = open_file_with(path, access)?;
        return match kinds::piece(path) {
            Some(error) => Err(error),
            None => Ok(vec![file]),
        };
    };
    let part_path = |part| path.with_file_name(pattern.name(part));
    // The named file's own error comes first: its name may have been mistyped.
    open_file_with(path, access)?;
    (1..=pattern.parts)
        .map(|part| {
            open_file_with(&part_path(part), access).map_err(|error| match error.cause {
                SourceCause::Missing => FormatError::file(
                    error.file,
                    FormatCause::PartMissing {
                        part,
                        parts: pattern.parts,
                    },
                ),
                _ => error.into(),
            })
        })
        .collect()
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
            if digits {
                text.parse::<u64>().ok()
            } else {
                None
            }
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
