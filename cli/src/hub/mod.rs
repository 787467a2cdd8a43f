//! Models by name: from the Hugging Face hub, by way of the cache that all of the hub's tools
//! share.
//!
//! Names are read in [`name`], models chosen among files in [`choose`]; [`cache`] knows what is on
//! the disk, [`http`] talks to the hub, [`transfer`] brings files from there into the cache.

pub mod args;
mod cache;
mod choose;
mod consent;
mod error;
pub mod fuzzed;
mod http;
#[cfg(all(test, unix))]
#[path = "../../../runtime/src/io/crash.rs"]
mod kill;
#[cfg(all(test, unix))]
mod killed;
mod listing;
mod name;
mod part;
mod remove;
mod settings;
mod shards;
mod show;
mod table;
mod transfer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use godwit::RopeOverride;
use serde_json::json;

use args::{ListArgs, PullArgs, RmArgs, ShowArgs};
use cache::Cached;
use choose::{Candidate, File as ModelFile, candidates, choose};
use consent::Consent;
pub use error::HubError;
use http::Client;
use name::Name;
use settings::Settings;
use transfer::Transfer;

use crate::load::bar;
use crate::output::{self, Output};
use crate::stop::Stop;

/// Marks a place where a test may kill the process. Nothing outside tests.
#[inline]
fn crash_point() {
    #[cfg(all(test, unix))]
    kill::pass();
}

/// Where a MODEL is: a path that exists, or the model of that name, which is downloaded if it is
/// not here yet. `yes`: without asking a person whether the name is no mistyped path.
///
/// # Errors
/// The name means nothing, or the model can't be had or is not wanted.
pub fn locate(model: &Path, yes: bool, stop: &Stop) -> Result<PathBuf, HubError> {
    // A link that leads nowhere is no name either.
    let is_path = model.exists() || model.is_symlink();
    let Some(text) = model.to_str().filter(|_| !is_path) else {
        return Ok(model.into());
    };
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    let is_explicit = is_url || table::expanded(text).is_some();
    if !is_explicit && Name::parse(text).map_or(true, |name| name.is_file()) {
        // Opening it reports what is wrong.
        return Ok(model.into());
    }
    let settings = Settings::from_env()?;
    let name = named(text, &settings)?;
    let cached = Cached::new(&settings.cache, &name);
    if cached.folder().is_dir() {
        keep(cached.hold(&|| stop.requested())?);
    }
    if let Some(path) = cached.find(&name)? {
        return Ok(path);
    }
    let consent = Consent::of(&name, yes || is_explicit);
    consent.check(&name)?;
    match pull(&name, &settings, consent, stop) {
        Ok(pulled) => Ok(pulled.path),
        // It may have been meant as a path, and mistyped.
        Err(cause @ (HubError::Missing(_) | HubError::Network { .. } | HubError::Offline(_)))
            if !is_url =>
        {
            Err(HubError::NoFile {
                path: text.into(),
                cause: Box::new(cause),
            })
        }
        Err(error) => Err(error),
    }
}

/// Keeps the hold on a repository's files until the process ends: `godwit rm` removes no model that
/// is in use.
fn keep(hold: Option<File>) {
    static HOLDS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    HOLDS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(hold);
}

/// The model that a text names.
fn named(text: &str, settings: &Settings) -> Result<Name, HubError> {
    if let Some(name) = Name::from_url(&settings.endpoint, text) {
        return name;
    }
    match table::expanded(text) {
        Some(full) => Name::parse(&full),
        None if !text.contains(['/', '@', ':']) => Err(HubError::Unknown(text.into())),
        None => Name::parse(text),
    }
}

/// A model that is in the cache.
struct Pulled {
    path: PathBuf,
    model: Candidate,
    commit: String,
}

/// Downloads what is missing of a model.
fn pull(
    name: &Name,
    settings: &Settings,
    consent: Consent,
    stop: &Stop,
) -> Result<Pulled, HubError> {
    if settings.offline {
        return Err(HubError::Offline(name.to_string()));
    }
    let (client, cached) = (Client::new(settings)?, Cached::new(&settings.cache, name));
    let listing = client.listing(name, &|| stop.requested())?;
    let all = candidates(&listing.names());
    let model = choose(&name.repo, name.quant.as_deref(), &all)?;
    let is_part = |file: &ModelFile| model.files.iter().any(|part| part.path == file.path);
    let files: Vec<_> = listing
        .files
        .iter()
        .filter(|(file, _)| is_part(file))
        .cloned()
        .collect();
    let missing = files
        .iter()
        .filter(|(file, digest)| !cached.has(digest.hex(), file.bytes));
    consent.confirm(
        name,
        missing.fold(0, |sum, (file, _)| sum.saturating_add(file.bytes)),
        stop,
    )?;
    cached.make_folder()?;
    keep(cached.hold(&|| stop.requested())?);
    let bar = bar("downloading", "{bytes}/{total_bytes}, {bytes_per_sec}");
    let done = Transfer::new(&client, &cached, name, &listing.commit, stop, &bar).run(&files);
    bar.finish_and_clear();
    done?;
    cached.set_commit(&listing.commit)?;
    Ok(Pulled {
        path: cached.path(&listing.commit, model),
        model: model.clone(),
        commit: listing.commit,
    })
}

/// `godwit pull`.
pub fn run_pull(args: &PullArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let stop = Stop::listen()?;
    let pulled = pull(&name, &settings, Consent::Given, &stop)?;
    let mut out = Output::new();
    if args.plain.json {
        return out.json(&json!({
            "name": name.to_string(), "path": pulled.path, "quant": pulled.model.handle(),
            "commit": pulled.commit,
            "files": pulled.model.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "bytes": pulled.model.bytes(),
        }));
    }
    out.path(&pulled.path)
}

/// `godwit rm`.
pub fn run_rm(args: &RmArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let freed = remove::remove(&name, &settings.cache)?;
    let mut out = Output::new();
    match args.plain.json {
        true => out.json(&json!({ "name": name.to_string(), "freed_bytes": freed })),
        false => out.line(&format!(
            "{name} is removed: {} freed",
            output::bytes(freed)
        )),
    }
}

/// `godwit list`.
pub fn run_list(args: &ListArgs) -> anyhow::Result<()> {
    if args.known {
        show::known(args.plain.json)
    } else {
        show::list(&Settings::from_env()?.cache, args.plain.json)
    }
}

/// `godwit show`.
pub fn run_show(args: &ShowArgs) -> anyhow::Result<()> {
    let path = Path::new(&args.name);
    if path.exists() || path.is_symlink() {
        let checkpoint = godwit::checkpoint::open_checkpoint(path)?;
        return crate::inspect::show(&checkpoint, &RopeOverride::default(), args.plain.json);
    }
    let settings = Settings::from_env()?;
    show::show(&named(&args.name, &settings)?, &settings, args.plain.json)
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
