//! Sequences as files: savegames.

use std::ffi::c_char;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use godwit::low_level::io::durable::{Existing, Readers, write_guarded};
use godwit::low_level::io::open::{Links, open_regular};
use godwit::{Error, Progress, serde_json};

use crate::arguments::text;
use crate::border::border_of;
use crate::entries::SchedulerEntry;
use crate::handles;
use crate::sequence::godwit_sequence;
use crate::status::{Failure, godwit_status};

/// The key of a snapshot's note under which the ids are that were not computed when it was written.
const UNCOMPUTED: &str = "uncomputed";

/// Hears how far a snapshot is, and stops it where the caller says so.
fn goes_on(entry: &SchedulerEntry) -> impl FnMut(Progress) -> ControlFlow<()> + Send + '_ {
    entry.is_stopped.store(false, Ordering::Release);
    |_| match entry.is_stopped.load(Ordering::Acquire) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Writes a sequence to a file, with its keys and values: a savegame. The file is there whole or
/// not at all; one that is there is replaced. The first snapshot of a model reads all its weights.
/// Waits for the GPU. Requests go on.
///
/// @param path         the file, in UTF-8
/// @param path_length  bytes of `path`
///
/// @return GODWIT_BAD_ARGUMENT where the sequence has no computed tokens, GODWIT_STOPPED where the
///         scheduler was cancelled meanwhile
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_sequence_save(
    sequence: godwit_sequence,
    path: *const c_char,
    path_length: usize,
) -> godwit_status {
    border_of(sequence, || {
        let (entry, sequence) = handles::sequence(sequence)?;
        // SAFETY: `path` is null or valid for its length.
        let path = Path::new(unsafe { text("path", path, path_length) }?);
        let mut held = entry.hold()?;
        let scheduler = &mut held.state()?.scheduler;
        let all = scheduler.tokens(sequence)?;
        let computed = scheduler.computed_tokens(sequence)?.len();
        let note = serde_json::json!({ UNCOMPUTED: &all[computed..] });
        let mut progress = goes_on(&entry);
        let write = async |out: &mut BufWriter<&mut File>| {
            scheduler
                .save(sequence, out, 0..computed, note, &mut progress)
                .await
        };
        let replace = || Ok::<_, Error>(Existing::Replace);
        let written = write_guarded(path, Readers::Umask, replace, write);
        Ok(pollster::block_on(written)?)
    })
}

/// Makes a sequence what `godwit_sequence_save` wrote to a file. Its requests end. Waits for the
/// GPU.
///
/// @param path         the file, in UTF-8
/// @param path_length  bytes of `path`
///
/// @return GODWIT_BAD_SNAPSHOT where the file is damaged, or another model's; then the sequence may
///         have fewer tokens than before
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_sequence_restore(
    sequence: godwit_sequence,
    path: *const c_char,
    path_length: usize,
) -> godwit_status {
    border_of(sequence, || {
        let (entry, sequence) = handles::sequence(sequence)?;
        // SAFETY: `path` is null or valid for its length.
        let path = unsafe { text("path", path, path_length) }?;
        let (file, _) = open_regular(Path::new(path), Links::Follow).map_err(|error| {
            let message = format!("{path}: can't open the file: {error}");
            Failure::new(godwit_status::GODWIT_FILE, message)
        })?;
        let mut held = entry.hold()?;
        let scheduler = &mut held.state()?.scheduler;
        let mut progress = goes_on(&entry);
        let mut input = BufReader::with_capacity(1 << 20, file);
        let resumed = scheduler.resume(sequence, &mut input, None, &mut progress);
        let header = pollster::block_on(resumed).map_err(|error| {
            let Failure { status, message } = error.into();
            Failure::new(status, format!("{path}: {message}"))
        })?;
        let uncomputed = header.note.get(UNCOMPUTED).and_then(|ids| ids.as_array());
        let ids = uncomputed.into_iter().flatten();
        let ids = ids.filter_map(|id| u32::try_from(id.as_u64()?).ok());
        Ok(scheduler.append(sequence, &ids.collect::<Vec<u32>>())?)
    })
}
