//! A client of the Hugging Face hub: models by name, through the cache that all of the hub's tools
//! share.
//!
//! `name` parses names, `choose` picks a model among files, `cache` is the state on the disk,
//! `http` talks to the hub, and `transfer` downloads files into the cache. The crate prints nothing
//! and asks nothing: its callers do.

mod cache;
mod choose;
mod crash_point;
mod downloaded;
mod error;
#[doc(hidden)]
pub mod fuzzed;
mod http;
#[cfg(all(test, unix))]
mod killed;
mod listing;
mod name;
mod part;
mod remove;
mod settings;
mod shards;
mod size;
mod table;
mod transfer;

use std::fs::File as Handle;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

pub use cache::Cached;
pub use choose::{Candidate, File, candidates, choose};
pub use downloaded::{Downloaded, downloaded, repositories};
pub use error::HubError;
pub use http::Client;
pub use listing::Listing;
pub use name::{MAIN, Name};
pub use remove::remove;
pub use settings::Settings;
pub use size::bytes;
pub use table::{KNOWN, Known, expanded, near};
use transfer::Transfer;

/// Returns whether the caller is to end: waits and downloads stop soon after.
pub type Stopped<'a> = &'a (dyn Fn() -> bool + Sync);

/// Keeps the hold on a repository's files until the process ends: `godwit rm` removes no model that
/// is in use.
pub fn keep(hold: Option<Handle>) {
    static HOLDS: Mutex<Vec<Handle>> = Mutex::new(Vec::new());
    HOLDS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(hold);
}

/// The name in a text: an address, a short name, or `OWNER/REPO[:QUANT][@REVISION]`.
///
/// # Errors
/// The text is no name.
pub fn named(text: &str, settings: &Settings) -> Result<Name, HubError> {
    if let Some(name) = Name::from_url(&settings.endpoint, text) {
        return name;
    }
    if let Some(name) = Name::from_known_host(text) {
        return name;
    }
    match table::expanded(text) {
        Some(full) => Name::parse(&full),
        None if !text.contains('/') => Err(unknown(text)),
        None => Name::parse(text),
    }
}

/// What is said of a text that is no name and no short name.
fn unknown(text: &str) -> HubError {
    let near = match &table::near(text)[..] {
        [] => String::new(),
        [one] => format!(" Did you mean {one}?"),
        [most @ .., last] => format!(" Did you mean {} or {last}?", most.join(", ")),
    };
    let text = text.into();
    HubError::Unknown { text, near }
}

/// A model that is in the cache.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The path to open.
    pub path: PathBuf,
    /// The model's files.
    pub model: Candidate,
    /// The commit of the repository.
    pub commit: String,
}

/// Downloads the missing files of a model.
///
/// `confirm` is called with the bytes to download before the download begins; `bar` makes the
/// progress bar, whose length is in bytes.
///
/// # Errors
/// The hub has no such model, the download fails or is stopped, or an error of `confirm`.
pub fn pull(
    name: &Name,
    settings: &Settings,
    confirm: &mut dyn FnMut(u64) -> Result<(), HubError>,
    stopped: Stopped<'_>,
    bar: &dyn Fn() -> ProgressBar,
) -> Result<Pulled, HubError> {
    if settings.offline {
        return Err(HubError::Offline(name.to_string()));
    }
    let client = Client::new(settings)?;
    let cached = Cached::new(&settings.cache, name);
    let listing = client
        .listing(name, stopped)
        .map_err(|error| unreachable(error, name, &cached))?;
    let all = candidates(&listing.names());
    let model = choose(&name.repo, name.quant.as_deref(), &all)?;
    let is_part = |file: &File| model.files.iter().any(|part| part.path == file.path);
    let files: Vec<_> = listing
        .files
        .iter()
        .filter(|(file, _)| is_part(file))
        .cloned()
        .collect();
    let missing = files
        .iter()
        .filter(|(file, digest)| !cached.has(digest.hex(), file.bytes));
    confirm(missing.fold(0, |sum, (file, _)| sum.saturating_add(file.bytes)))?;
    cached.make_folder()?;
    keep(cached.hold(stopped)?);
    let bar = bar();
    let done = Transfer::new(&client, &cached, name, &listing.commit, stopped, &bar).run(&files);
    bar.finish_and_clear();
    done?;
    cached.set_commit(&listing.commit)?;
    Ok(Pulled {
        path: cached.path(&listing.commit, model),
        model: model.clone(),
        commit: listing.commit,
    })
}

/// An error of the listing: where the model is not here either, it says so.
fn unreachable(error: HubError, name: &Name, cached: &Cached) -> HubError {
    match error {
        HubError::Network { .. } if matches!(cached.find(name), Ok(None)) => {
            HubError::Unreachable {
                name: name.to_string(),
                cause: Box::new(error),
            }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzer_s_corpus_is_survived() {
        godwit_tests::corpus::replay("hub", super::fuzzed::hub);
        godwit_tests::corpus::replay("redirects", super::fuzzed::redirects);
        godwit_tests::corpus::replay("content_range", super::fuzzed::content_range);
    }
}
