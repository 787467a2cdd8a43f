//! Models by name: from the Hugging Face hub, by way of the cache that all of the hub's tools share.
//!
//! Names are read in [`name`], models chosen among files in [`choose`]; [`cache`] knows what is on the disk, [`http`] talks to
//! the hub, [`transfer`] brings files from there into the cache.

pub mod args;
mod cache;
mod choose;
mod error;
pub mod fuzzed;
mod http;
mod listing;
mod name;
mod part;
mod remove;
mod settings;
mod shards;
mod show;
mod table;
mod transfer;

use std::path::{Path, PathBuf};

use godwit::RopeOverride;
use serde_json::json;

use args::{ListArgs, PullArgs, RmArgs, ShowArgs};
use cache::Cached;
use choose::{Candidate, File, candidates, choose};
pub use error::HubError;
use http::Client;
use name::Name;
use settings::Settings;
use transfer::Transfer;

use crate::load::bar;
use crate::output::{self, Output};
use crate::stop::Stop;

/// Where a MODEL is: a path that exists, or the model of that name, which is downloaded if it is not here yet.
///
/// # Errors
/// The name means nothing, or the model can't be had.
pub fn locate(model: &Path, stop: &Stop) -> Result<PathBuf, HubError> {
    let Some(text) = model.to_str().filter(|_| !model.exists()) else { return Ok(model.into()) };
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if !is_url && table::expanded(text).is_none() && Name::parse(text).map_or(true, |name| name.is_file()) {
        // What it is not, whoever opens it will say.
        return Ok(model.into());
    }
    let settings = Settings::from_env()?;
    let name = named(text, &settings)?;
    if let Some(path) = Cached::new(&settings.cache, &name).find(&name)? {
        return Ok(path);
    }
    match pull(&name, &settings, stop) {
        Ok(pulled) => Ok(pulled.path),
        // It may have been meant as a path, and mistyped.
        Err(cause @ (HubError::Missing(_) | HubError::Network { .. } | HubError::Offline(_))) if !is_url => {
            Err(HubError::NoFile { path: text.into(), cause: Box::new(cause) })
        }
        Err(error) => Err(error),
    }
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
fn pull(name: &Name, settings: &Settings, stop: &Stop) -> Result<Pulled, HubError> {
    if settings.offline {
        return Err(HubError::Offline(name.to_string()));
    }
    let (client, cached) = (Client::new(settings)?, Cached::new(&settings.cache, name));
    let listing = client.listing(name, &|| stop.requested())?;
    let all = candidates(&listing.names());
    let model = choose(&name.repo, name.quant.as_deref(), &all)?;
    let is_part = |file: &File| model.files.iter().any(|part| part.path == file.path);
    let files: Vec<_> = listing.files.iter().filter(|(file, _)| is_part(file)).cloned().collect();
    let bar = bar("downloading", "{bytes}/{total_bytes}, {bytes_per_sec}");
    let done = Transfer::new(&client, &cached, name, &listing.commit, stop, &bar).run(&files);
    bar.finish_and_clear();
    done?;
    cached.set_commit(&listing.commit)?;
    Ok(Pulled { path: cached.path(&listing.commit, model), model: model.clone(), commit: listing.commit })
}

/// `godwit pull`.
pub fn run_pull(args: &PullArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let stop = Stop::listen()?;
    let pulled = pull(&name, &settings, &stop)?;
    let mut out = Output::new();
    if args.plain.json {
        return out.json(&json!({
            "name": name.to_string(), "path": pulled.path, "quant": pulled.model.handle(), "commit": pulled.commit,
            "files": pulled.model.files.iter().map(|file| &file.path).collect::<Vec<_>>(), "bytes": pulled.model.bytes(),
        }));
    }
    out.line(&pulled.path.display().to_string())
}

/// `godwit rm`.
pub fn run_rm(args: &RmArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let freed = remove::remove(&name, &settings.cache)?;
    let mut out = Output::new();
    match args.plain.json {
        true => out.json(&json!({ "name": name.to_string(), "freed_bytes": freed })),
        false => out.line(&format!("{name} is removed: {} freed", output::bytes(freed))),
    }
}

/// `godwit list`.
pub fn run_list(args: &ListArgs) -> anyhow::Result<()> {
    if args.known { show::known(args.plain.json) } else { show::list(&Settings::from_env()?.cache, args.plain.json) }
}

/// `godwit show`.
pub fn run_show(args: &ShowArgs) -> anyhow::Result<()> {
    if Path::new(&args.name).exists() {
        let checkpoint = godwit::native::open_checkpoint(Path::new(&args.name))?;
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
