//! Recognises files and folders that are not models, and says which to give instead.

use std::io::Read as _;
use std::path::Path;

use crate::error::Error;
use crate::gguf::{FormatCause, FormatError, Gguf};
use crate::io::durable::folder_of;
use crate::io::open::{Links, open_regular};
use crate::io::open_file;

/// How many files are named in a message.
const NAMED: usize = 3;

fn kind(path: &Path, what: impl Into<String>, instead: impl Into<String>) -> FormatError {
    FormatError::file(
        path.display().to_string(),
        FormatCause::Kind {
            what: what.into(),
            instead: instead.into(),
        },
    )
}

/// The names of a folder's files, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Whether a GGUF file says that it is something else than a model: an importance matrix, an
/// adapter. One that can't be read may be a model.
fn is_other(path: &Path) -> bool {
    let gguf = open_file(path)
        .ok()
        .and_then(|file| Gguf::read(vec![file]).ok());
    let kind = gguf.and_then(|gguf| {
        gguf.metadata()
            .string("general.type")
            .ok()
            .flatten()
            .map(str::to_owned)
    });
    kind.is_some_and(|kind| kind != "model")
}

/// The models among a folder's GGUF files, with commas; where none is one, all of them.
fn models(folder: &Path, names: &[String]) -> String {
    let is_gguf = |name: &&String| name.to_ascii_lowercase().ends_with(".gguf");
    let files: Vec<&String> = names.iter().filter(is_gguf).collect();
    let models = files
        .iter()
        .copied()
        .filter(|name| !is_other(&folder.join(name)));
    let models = listed(models);
    if models.is_empty() {
        listed(files.into_iter())
    } else {
        models
    }
}

/// The first of these names, with commas.
fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names
        .take(NAMED)
        .map(|name| name.escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// An adapter of PEFT: `path` is its folder or one of its files.
pub(super) fn adapter(folder: &Path, path: &Path) -> FormatError {
    #[derive(serde::Deserialize)]
    struct Config {
        base_model_name_or_path: Option<String>,
    }
    const MOST: u64 = 1 << 20;
    let mut json = Vec::new();
    let file = open_regular(&folder.join("adapter_config.json"), Links::Follow);
    let read = file.and_then(|(file, _)| file.take(MOST).read_to_end(&mut json));
    let config = read
        .ok()
        .and_then(|_| serde_json::from_slice::<Config>(&json).ok());
    let base = config.and_then(|config| config.base_model_name_or_path);
    let base = base.map_or_else(String::new, |base| format!(" {}", base.escape_debug()));
    kind(
        path,
        "an adapter of PEFT (such as a LoRA), not a whole model",
        format!(
            "merge it into its base model{base} (peft's merge_and_unload), and give the merged \
             model"
        ),
    )
}

/// A folder without `config.json`.
pub(super) fn of_folder(folder: &Path) -> FormatError {
    let names = names(folder);
    let has = |name: &str| names.iter().any(|other| other == name);
    let files = models(folder, &names);
    if has("adapter_config.json") {
        return adapter(folder, folder);
    }
    if !files.is_empty() {
        return kind(
            folder,
            "a folder with GGUF files",
            format!("give one of its files: {files}"),
        );
    }
    if has("params.json")
        || names
            .iter()
            .any(|name| name.starts_with("consolidated.") && name.ends_with(".pth"))
    {
        let what = "a model in its maker's own format (params.json, consolidated.*)";
        return kind(
            folder,
            what,
            "give its Hugging Face repository, or a GGUF file",
        );
    }
    FormatError::file(folder.display().to_string(), FormatCause::Folder)
}

/// The error about a repository's weights, more exactly where other files tell what it is.
pub(super) fn without_weights(folder: &Path, error: Error) -> Error {
    let Error::Format(format) = &error else {
        return error;
    };
    if !matches!(*format.cause, FormatCause::NoWeights | FormatCause::NoIndex) {
        return error;
    }
    let names = names(folder);
    let weights: Vec<&String> = names
        .iter()
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    let files = models(folder, &names);
    if !files.is_empty() {
        let what = "a repository whose weights are GGUF files";
        return kind(folder, what, format!("give one of its files: {files}")).into();
    }
    if weights.iter().any(|name| name.starts_with("adapter_")) {
        return adapter(folder, folder).into();
    }
    if weights.iter().any(|name| name.starts_with("consolidated")) {
        let what =
            "a repository with weights in Mistral's own layout alone (consolidated.safetensors)";
        return kind(
            folder,
            what,
            "give one with model.safetensors, or a GGUF file",
        )
        .into();
    }
    if let Some(name) = names
        .iter()
        .find(|name| name.ends_with(".bin") || name.ends_with(".pth"))
    {
        let what = format!(
            "a repository with weights of PyTorch ({}), which are not read",
            name.escape_debug()
        );
        let instead =
            "convert them to safetensors (transformers' save_pretrained), or give a GGUF file";
        return kind(folder, what, instead).into();
    }
    error
}

/// What is said of a piece of a GGUF file that was cut up as bytes: `m.gguf.part1of2`,
/// `m.gguf-split-a`.
pub(super) fn piece(path: &Path) -> Option<FormatError> {
    let name = path.file_name()?.to_str()?;
    let (stem, rest) = name.split_once(".gguf")?;
    let is_piece = [".part", "-part", ".split", "-split"]
        .iter()
        .any(|begin| rest.len() > begin.len() && rest.starts_with(begin));
    let whole = folder_of(path).join(format!("{stem}.gguf"));
    is_piece.then(|| {
        let name = whole.display();
        kind(
            path,
            "a piece of a GGUF file that was cut up",
            format!(
                "join all pieces in their order (cat PIECES > {name}), and give the joined file"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_known_by_name() {
        for name in ["m.gguf.part1of2", "m.gguf-split-a", "m.gguf.split-b"] {
            assert!(
                piece(Path::new(name))
                    .is_some_and(|error| error.to_string().contains("join all pieces")),
                "{name}"
            );
        }
        for name in [
            "m.gguf",
            "m.gguf.part",
            "m-00001-of-00002.gguf",
            "m.part.gguf",
            "part.gguf",
        ] {
            assert_eq!(piece(Path::new(name)), None, "{name}");
        }
    }
}
