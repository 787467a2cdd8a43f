//! An open model file: what tells it from others, and whether it was written to since.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Access, io};
use crate::io::error::{SourceCause, SourceError};
use crate::io::source::Identity;

/// The age from which a file's times tell whether it was written since: clocks of file systems tick
/// every few milliseconds, or every two seconds where they count in whole seconds.
pub(super) const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// How much other computers' clocks are ahead of this one's, usually, at most.
const AHEAD: Duration = Duration::from_secs(10);

/// An open model file, as it was when it was opened.
pub(super) struct Opened {
    /// As its path was given.
    pub name: String,
    /// Its path without links.
    pub real: PathBuf,
    pub len: u64,
    /// When it was written last; none where others may set that.
    pub modified: Option<SystemTime>,
    pub access: Access,
    pub file: File,
}

impl Opened {
    /// What tells the file from others, and from its earlier contents, without reading it. None
    /// where its times can't tell: a write that follows at once would leave them as they are.
    pub(super) fn identity(&self) -> Option<Identity> {
        let metadata = self.file.metadata().ok()?;
        let modified = metadata.modified().ok()?;
        let changed = changed(&metadata).unwrap_or(modified);
        for time in [modified, changed] {
            let whole_seconds = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()?
                .subsec_nanos()
                == 0;
            let settled = if whole_seconds {
                SETTLED_COARSE
            } else {
                SETTLED
            };
            match SystemTime::now().duration_since(time) {
                Ok(age) if age < settled => return None,
                // The clock was set back since, or it is another computer's, which may be as much
                // ahead as this.
                Err(ahead) if ahead.duration() < AHEAD => return None,
                // A write at another time than that leaves another time.
                _ => {}
            }
        }
        let nanoseconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|t| t.as_nanos())
        };
        let created = metadata.created().ok().and_then(nanoseconds).unwrap_or(0);
        let state = format!(
            "{} bytes, modified {}, changed {}, created {created}, file {}",
            metadata.len(),
            nanoseconds(modified)?,
            nanoseconds(changed)?,
            file_number(&metadata),
        );
        Some(Identity {
            name: self.real.to_string_lossy().into_owned(),
            state,
        })
    }

    /// Fails where the file was written to since it was opened: parts of two versions make no
    /// model.
    pub(super) fn check_unchanged(&self) -> Result<(), SourceError> {
        let metadata = self
            .file
            .metadata()
            .map_err(|error| io(Path::new(&self.name), "look at the file", &error))?;
        let is_as_old = self
            .modified
            .is_none_or(|before| metadata.modified().is_ok_and(|now| now == before));
        if metadata.len() == self.len && is_as_old {
            return Ok(());
        }
        let (now, is_mapped) = (metadata.len(), self.access == Access::Mapped);
        Err(SourceError::new(
            &self.name,
            SourceCause::Changed {
                before: self.len,
                now,
                is_mapped,
            },
        ))
    }
}

/// When the file's content or its entry changed: nobody can set that back.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
    Some(
        SystemTime::UNIX_EPOCH
            + seconds
            + Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).ok()?),
    )
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<SystemTime> {
    None
}

/// The file's number on its disk, and the disk's.
#[cfg(unix)]
fn file_number(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("{} on {}", metadata.ino(), metadata.dev())
}

#[cfg(not(unix))]
fn file_number(_: &Metadata) -> String {
    "unknown".into()
}
