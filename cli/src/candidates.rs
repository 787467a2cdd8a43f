//! Candidates for shell completion: the models that are there, and those with short names.

use std::ffi::OsStr;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use godwit_hub::{KNOWN, Settings, downloaded as downloaded_models};

/// Candidates for a MODEL: files and folders, downloaded models, and models with short names.
pub fn model(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = name(typed);
    found.extend(PathCompleter::any().complete(typed));
    found
}

/// Candidates for the name of a model.
pub fn name(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = downloaded(typed);
    let known = KNOWN.iter().filter(|known| starts(known.alias, typed));
    found.extend(known.map(|known| {
        CompletionCandidate::new(known.alias).help(Some(known.about.to_owned().into()))
    }));
    found
}

/// Candidates for the name of a downloaded model.
pub fn downloaded(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(settings) = Settings::from_env() else {
        return Vec::new();
    };
    let all = downloaded_models(&settings.cache).into_iter();
    let names = all.map(|model| model.name.to_string());
    let fit = names.filter(|name| starts(name, typed) && !name.contains(char::is_control));
    fit.map(CompletionCandidate::new).collect()
}

fn starts(name: &str, typed: &OsStr) -> bool {
    name.starts_with(&*typed.to_string_lossy())
}
