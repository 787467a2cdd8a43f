//! From a MODEL argument to a path: a file, a folder, or a name on the hub.

use std::path::{Path, PathBuf};

use godwit_hub::{Cached, HubError, Name, Settings, expanded, keep, named, pull};

use crate::consent::Consent;
use crate::progress::downloading;
use crate::stop::Stop;

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
    let is_explicit = is_url || expanded(text).is_some();
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
