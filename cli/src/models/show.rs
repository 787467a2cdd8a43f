//! `godwit list` and `godwit show`: what is there, here and on the hub.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use indicatif::HumanDuration;
use serde_json::json;

use godwit_hub::{
    Cached, Candidate, Client, Downloaded, HubError, KNOWN, Name, Settings, candidates, choose,
    downloaded, repositories,
};

use crate::output::{self, Output, note, shown};

/// The models of the table.
pub fn known(json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if json {
        let all: Vec<_> = KNOWN
            .iter()
            .map(|k| json!({ "alias": k.alias, "name": k.name, "about": k.about }))
            .collect();
        return out.json(&json!({ "known": all }));
    }
    for known in &KNOWN {
        out.line(&format!(
            "{:<22} {:<62} {}",
            known.alias, known.name, known.about
        ))?;
    }
    Ok(())
}

/// Lists the models in the cache.
pub fn list(cache: &Path, json: bool) -> anyhow::Result<()> {
    let all = downloaded(cache);
    let parts: Vec<(Name, Vec<(PathBuf, u64)>)> = repositories(cache)
        .into_iter()
        .map(|repo| (repo.clone(), Cached::new(cache, &repo).parts()))
        .filter(|(_, parts)| !parts.is_empty())
        .collect();
    let mut out = Output::new();
    if json {
        let each = |e: &Downloaded| {
            json!({
                "name": e.name.to_string(), "kind": kind(&e.model), "quant": e.model.label,
                "bytes": e.model.bytes(),
                "path": e.path, "commit": e.commit,
                "modified": e.modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
            })
        };
        let models = all.iter().map(each).collect::<Vec<_>>();
        let part = |name: &Name, path: &Path, bytes: u64| {
            json!({
                "name": name.repo, "path": path, "bytes": bytes,
            })
        };
        let parts = parts
            .iter()
            .flat_map(|(name, parts)| parts.iter().map(|(path, bytes)| part(name, path, *bytes)));
        let parts = parts.collect::<Vec<_>>();
        return out.json(&json!({ "cache": cache, "models": models, "interrupted": parts }));
    }
    if all.is_empty() && parts.is_empty() {
        note(&format!(
            "nothing in {}; `godwit list --known` shows what could be",
            cache.display()
        ));
    }
    let width = all
        .iter()
        .map(|entry| entry.name.to_string().len())
        .max()
        .unwrap_or(0);
    for entry in &all {
        let age = HumanDuration(entry.modified.elapsed().unwrap_or_default());
        let (name, size) = (
            shown(&entry.name.to_string()),
            output::bytes(entry.model.bytes()),
        );
        out.line(&format!(
            "{name:<width$}  {:<11} {size:>10}  {age} ago",
            kind(&entry.model)
        ))?;
    }
    for (repo, parts) in &parts {
        let bytes = output::bytes(parts.iter().map(|(_, bytes)| bytes).sum());
        let name = shown(&repo.repo);
        note(&format!(
            "({bytes} of an interrupted download of {name}: the next pull goes on with it, \
             `godwit rm {name}` removes it \
             and all else of {name})"
        ));
    }
    Ok(())
}

fn kind(model: &Candidate) -> &'static str {
    if model.is_folder() {
        "safetensors"
    } else {
        "GGUF"
    }
}

/// The models of a repository: on the hub, or, where that can't be asked, here.
pub fn show(name: &Name, settings: &Settings, json: bool) -> anyhow::Result<()> {
    let cached = Cached::new(&settings.cache, name);
    let listing = match settings.offline {
        true => Err(HubError::Offline(name.to_string())),
        false => Client::new(settings).and_then(|client| client.listing(name, &|| false)),
    };
    let here = cached.commit();
    let (from, commit, all) = match listing {
        Ok(listing) => ("hub", listing.commit.clone(), candidates(&listing.names())),
        Err(error @ (HubError::Offline(_) | HubError::Network { .. })) => {
            let there = here
                .clone()
                .map(|commit| (cached.models(&commit), commit))
                .filter(|(all, _)| !all.is_empty());
            let (all, commit) = there.ok_or(error)?;
            ("cache", commit, all)
        }
        Err(error) => return Err(error.into()),
    };
    let chosen = match choose(&name.repo, name.quant.as_deref(), &all) {
        Ok(model) => Some(model.clone()),
        // All of them are shown below, none as the one.
        Err(HubError::Ambiguous { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let downloaded = cached.models(&commit);
    let is_here = |model: &Candidate| downloaded.iter().any(|there| there.path() == model.path());
    let is_chosen = |model: &Candidate| chosen.as_ref() == Some(model);
    let mut out = Output::new();
    if json {
        let each = |model: &Candidate| {
            let files = model
                .files
                .iter()
                .map(|f| json!({ "path": f.path, "bytes": f.bytes }))
                .collect::<Vec<_>>();
            json!({
                "kind": kind(model), "quant": model.label, "bytes": model.bytes(), "files": files,
                "downloaded": is_here(model), "chosen": is_chosen(model),
            })
        };
        let models: Vec<_> = all.iter().map(each).collect();
        return out
            .json(&json!({ "repo": name.repo, "commit": commit, "from": from, "models": models }));
    }
    out.line(&format!("{} at {commit}, from the {from}", name.repo))?;
    for model in &all {
        let mark = if is_chosen(model) { '*' } else { ' ' };
        let here = if is_here(model) { ", downloaded" } else { "" };
        let files = match model.files.len() {
            1 => shown(model.path()),
            count => format!("{} and {} more", shown(model.path()), count - 1),
        };
        let label = if model.label.is_empty() {
            "-"
        } else {
            &model.label
        };
        out.line(&format!(
            "{mark} {label:<12} {:>10}  {files}{here}",
            output::bytes(model.bytes())
        ))?;
    }
    Ok(())
}
