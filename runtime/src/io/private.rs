//! Folders that hold what Godwit could make again, or what a person typed: for their owner alone.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// Where programs keep what they could make again.
pub fn user_cache_folder() -> Option<PathBuf> {
    let named = |variable| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if cfg!(windows) {
        return named("LOCALAPPDATA");
    }
    let home = |folder: &str| std::env::home_dir().map(|home| home.join(folder));
    named("XDG_CACHE_HOME").or_else(|| {
        home(if cfg!(target_os = "macos") {
            "Library/Caches"
        } else {
            ".cache"
        })
    })
}

/// Makes a folder that no other user can look into, where there is none, and refuses one that
/// belongs to another user: that user could put files there, and read what is written.
///
/// # Errors
/// The folder can't be made, or belongs to another user than this process's or root.
pub fn make_private_folder(folder: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| FileError::io(folder, "make the folder", &error))?;
    check_folder(folder)
}

/// Refuses a folder that belongs to another user. One that is not there is fine.
///
/// # Errors
/// It belongs to another user than this process's or root.
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    match fs::metadata(folder) {
        Ok(metadata) => check_owner(folder, &metadata),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::io(folder, "look at the folder", &error)),
    }
}

/// Refuses what belongs to another user than this process's or root.
///
/// # Errors
/// It belongs to another user.
#[cfg(unix)]
pub fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt as _;
    refuse_foreign(path, metadata.uid(), rustix::process::geteuid().as_raw())
}

#[cfg(unix)]
fn refuse_foreign(path: &Path, owner: u32, user: u32) -> Result<(), FileError> {
    if owner == user || owner == 0 {
        return Ok(());
    }
    Err(FileError::Foreign {
        file: path.display().to_string(),
        owner,
        user,
    })
}

/// Windows keeps the profile's folders apart by itself.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check_owner(_: &Path, _: &Metadata) -> Result<(), FileError> {
    Ok(())
}

/// Whether a folder's bytes are in memory (tmpfs, ramfs). False where the system does not say.
#[cfg(target_os = "linux")]
pub fn is_in_memory(folder: &Path) -> bool {
    /// From the kernel's `magic.h`.
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    // The field's type differs from platform to platform; the numbers have 32 bits.
    rustix::fs::statfs(folder).is_ok_and(|system| matches!(system.f_type as u32, TMPFS | RAMFS))
}

/// Whether a folder's bytes are in memory (tmpfs, ramfs). False where the system does not say.
#[cfg(not(target_os = "linux"))]
pub fn is_in_memory(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_this_user_and_root_are_trusted() {
        let path = Path::new("cache");
        for (owner, user, is_fine) in [
            (7, 7, true),
            (0, 7, true),
            (0, 0, true),
            (8, 7, false),
            (7, 0, false),
        ] {
            assert_eq!(
                refuse_foreign(path, owner, user).is_ok(),
                is_fine,
                "{owner}, {user}"
            );
        }
        let error = refuse_foreign(path, 8, 7)
            .expect_err("another user's")
            .to_string();
        for says in [
            "cache belongs to user 8",
            "user 7",
            "--cache-dir",
            "HF_HUB_CACHE",
            "chown",
        ] {
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn new_folders_are_private_and_others_stay_as_they_are() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("a/b");
        let mode = |folder: &Path| folder.metadata().expect("a folder").mode() & 0o777;
        make_private_folder(&folder).expect("it is made");
        assert_eq!(
            (mode(&folder), mode(&place.path().join("a"))),
            (0o700, 0o700)
        );
        let shared = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&folder, shared).expect("other permissions");
        make_private_folder(&folder).expect("it is there");
        assert_eq!(mode(&folder), 0o755);
        fs::write(place.path().join("file"), "").expect("a file");
        assert!(make_private_folder(&place.path().join("file")).is_err());
        check_folder(&place.path().join("none")).expect("nothing is there");
    }
}
