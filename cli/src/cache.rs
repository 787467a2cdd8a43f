//! `godwit cache`: what Godwit keeps on the disk, and how to be rid of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use godwit::low_level::io::private::user_cache_folder;
use serde_json::json;

use crate::args::{CacheArgs, Part};
use crate::exit::{Unwritable, Usage};
use crate::output::{self, Output, shown};

/// A folder of Godwit's own.
struct Folder {
    part: Part,
    name: &'static str,
    about: &'static str,
    path: PathBuf,
    files: Vec<(PathBuf, u64)>,
}

impl Folder {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

pub fn run(args: &CacheArgs) -> anyhow::Result<()> {
    let folders = folders(args)?;
    let is_cleared =
        |folder: &&Folder| args.clear.contains(&Part::All) || args.clear.contains(&folder.part);
    let mut freed = 0;
    for folder in folders.iter().filter(is_cleared) {
        freed += clear(folder)?;
    }
    let mut out = Output::new();
    if args.plain.json {
        let parts: Vec<_> = folders
            .iter()
            .map(|folder| {
                json!({
                    "part": folder.name, "path": folder.path, "files": folder.files.len(),
                    "bytes": folder.bytes(), "cleared": is_cleared(&folder),
                })
            })
            .collect();
        return out.json(&json!({ "parts": parts, "freed_bytes": freed }));
    }
    if !args.clear.is_empty() {
        for folder in folders.iter().filter(is_cleared) {
            let bytes = output::bytes(folder.bytes());
            out.line(&format!("{} are cleared: {bytes} freed", folder.name))?;
        }
        return Ok(());
    }
    for folder in &folders {
        out.line(&format!(
            "{:<8} {:>10}  {:<34} {}",
            folder.name,
            output::bytes(folder.bytes()),
            folder.about,
            shown(&folder.path.to_string_lossy())
        ))?;
    }
    let total = folders.iter().map(Folder::bytes).sum();
    out.line(&format!("{:<8} {:>10}", "all", output::bytes(total)))?;
    if total > 0 {
        output::note(
            "(`godwit cache --clear PART` deletes a part or all; it is made again when it is \
             needed. `godwit list` lists downloaded models)",
        );
    }
    Ok(())
}

/// The folders, in the order of their usual sizes.
fn folders(args: &CacheArgs) -> anyhow::Result<Vec<Folder>> {
    let own = user_cache_folder().map(|folder| folder.join("godwit"));
    let parts = [
        (
            Part::Prompts,
            "prompts",
            "KV caches of long prompts",
            args.cache_dir.clone(),
        ),
        (
            Part::Weights,
            "weights",
            "quantised weights (--quant)",
            args.quant_dir.clone(),
        ),
        (Part::Gpus, "gpus", "tuning of GPUs", None),
        (Part::Hashes, "hashes", "hashes of model files", None),
    ];
    let folder =
        |(part, name, about, named): (Part, &'static str, &'static str, Option<PathBuf>)| {
            let path = named.or_else(|| Some(own.as_ref()?.join(name)));
            let path = path.ok_or_else(|| {
                Usage("there is no cache folder: set XDG_CACHE_HOME to an absolute path".into())
            })?;
            let files = files(&path).map_err(|error| Unwritable {
                file: path.display().to_string(),
                cause: format!("can't read the folder: {error}"),
            })?;
            Ok(Folder {
                part,
                name,
                about,
                path,
                files,
            })
        };
    parts.into_iter().map(folder).collect()
}

/// The regular files of a folder, with their lengths; none where there is no folder. Links are not
/// followed, and folders in it are not Godwit's.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Another process may have deleted it just now.
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_file() && is_own(&path) {
            files.push((path, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file has the name of one that Godwit makes, which begins with digits of a hash: a
/// person may have put others into a folder of their own.
fn is_own(path: &Path) -> bool {
    /// Digits that no other name begins with.
    const DIGITS: usize = 16;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let is_left = name.starts_with(".godwit-") && name.ends_with(".part");
    let digits = name.get(..DIGITS).unwrap_or_default();
    let is_hash = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_left || is_hash
}

/// Deletes the files of a folder. Returns the bytes that were freed.
fn clear(folder: &Folder) -> anyhow::Result<u64> {
    let mut freed = 0;
    for (path, bytes) in &folder.files {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let file = path.display().to_string();
                let cause = format!("can't be deleted: {error}");
                return Err(Unwritable { file, cause }.into());
            }
            _ => freed += bytes,
        }
    }
    Ok(freed)
}
