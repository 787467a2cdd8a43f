//! From a MODEL argument to a path: a file, a folder, or a name on the hub.

use std::path::{Path, PathBuf};

use godwit::low_level::checkpoint::open_checkpoint;
use godwit_hub::{Cached, HubError, Name, Settings, expanded, keep, named, pull};

use crate::consent::Consent;
use crate::progress::downloading;
use crate::stop::Stop;

/// Whether a text is the address of a repository, with or without its scheme.
fn is_address(text: &str) -> bool {
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    has_scheme || Name::from_known_host(text).is_some()
}

/// Whether a text that is no file can only be meant as a short name: one word without a file's
/// ending.
fn is_short(text: &str) -> bool {
    let is_file = Path::new(text).extension().is_some_and(|ending| {
        let ending = ending.to_string_lossy().to_lowercase();
        ["gguf", "safetensors", "json", "bin", "kv"].contains(&&*ending)
    });
    !text.is_empty() && !text.contains(['/', '\\']) && !is_file
}

/// Fails where a MODEL is certainly wrong: before anything is read, downloaded or asked.
///
/// # Errors
/// There is no such file, it is no model, or its name is none.
pub fn check(model: &Path) -> anyhow::Result<()> {
    if model.exists() || model.is_symlink() {
        open_checkpoint(model)?;
        return Ok(());
    }
    let text = model.to_string_lossy();
    if is_address(&text) || expanded(&text).is_some() || is_short(&text) {
        named(&text, &Settings::from_env()?)?;
    } else if Name::parse(&text).map_or(true, |name| name.is_file()) {
        open_checkpoint(model)?;
    }
    Ok(())
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
    let is_url = is_address(text);
    let is_explicit = is_url || expanded(text).is_some();
    let settings = Settings::from_env()?;
    if !is_explicit {
        if is_short(text) {
            return Err(named(text, &settings).err().unwrap_or(HubError::Stopped));
        }
        if Name::parse(text).map_or(true, |name| name.is_file()) {
            // Opening it reports what is wrong.
            return Ok(model.into());
        }
    }
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
    let mut confirm = |bytes| consent.confirm(&name, bytes, stop);
    match pull(
        &name,
        &settings,
        &mut confirm,
        &|| stop.requested(),
        &downloading,
    ) {
        Ok(pulled) => Ok(pulled.path),
        // It may have been meant as a path, and mistyped.
        Err(cause @ (HubError::Missing(_) | HubError::Offline(_))) if !is_url => {
            Err(HubError::NoFile {
                path: text.into(),
                cause: Box::new(cause),
            })
        }
        Err(error) => Err(error),
    }
}
