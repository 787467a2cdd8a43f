//! Sequences: conversations of a scheduler.

use std::sync::Arc;

use godwit::scheduler::{Scheduler, SequenceId, SequenceOptions};

use crate::arguments::{Struct, check_reserved, out_handle, out_ids, out_value};
use crate::border::border_of;
use crate::entries::SchedulerEntry;
use crate::handles::{self, Object};
use crate::scheduler::godwit_scheduler;
use crate::status::{Outcome, godwit_status};

/// A sequence of tokens of a scheduler, with its keys and values: a conversation. 0 is none.
pub type godwit_sequence = u64;

/// What is said of a sequence when it is opened. All zero is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_sequence_options {
    /// sizeof(godwit_sequence_options).
    pub size: usize,
    /// Requests of sequences with a higher priority go first. Where memory runs out, those with the
    /// lowest are interrupted first.
    pub priority: i32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_sequence_options {}

/// Gives a sequence of a scheduler a handle, or closes it where there is none.
fn insert(
    scheduler: &mut Scheduler,
    entry: &Arc<SchedulerEntry>,
    sequence: SequenceId,
    handle: *mut godwit_sequence,
) -> Outcome {
    let new = match handles::insert(Object::Sequence(entry.clone(), sequence)) {
        Ok(new) => new,
        Err(error) => {
            scheduler.close(sequence)?;
            return Err(error);
        }
    };
    // SAFETY: Each caller has checked the pointer with `out_handle`.
    unsafe { out_value("sequence", handle, new, false) }
}

/// Opens a sequence without tokens.
///
/// @param options   may be null
/// @param sequence  takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_sequence_open(
    scheduler: godwit_scheduler,
    options: *const godwit_sequence_options,
    sequence: *mut godwit_sequence,
) -> godwit_status {
    border_of(scheduler, || {
        // SAFETY: `sequence` is null or valid.
        unsafe { out_handle("sequence", sequence) }?;
        let entry = handles::scheduler(scheduler)?;
        // SAFETY: `options` is null or valid for its size.
        let given = unsafe { crate::arguments::options("godwit_sequence_options", options) }?;
        check_reserved("godwit_sequence_options", given.reserved)?;
        let mut held = entry.hold()?;
        let scheduler = &mut held.state()?.scheduler;
        let opened = scheduler.open(&SequenceOptions::default().priority(given.priority));
        insert(scheduler, &entry, opened, sequence)
    })
}

/// Opens a sequence that begins with the first tokens of another, which goes on as it was. What
/// both have is computed and stored once: a prompt that many characters share.
///
/// @param position  how many tokens; SIZE_MAX: all so far
/// @param fork      takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_sequence_fork(
    sequence: godwit_sequence,
    position: usize,
    fork: *mut godwit_sequence,
) -> godwit_status {
    border_of(sequence, || {
        // SAFETY: `fork` is null or valid.
        unsafe { out_handle("fork", fork) }?;
        let (entry, sequence) = handles::sequence(sequence)?;
        let mut held = entry.hold()?;
        let scheduler = &mut held.state()?.scheduler;
        let position = match position {
            usize::MAX => scheduler.tokens(sequence)?.len(),
            position => position,
        };
        let opened = scheduler.fork(sequence, position)?;
        insert(scheduler, &entry, opened, fork)
    })
}

/// Changes the priority of a sequence from the next step on.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_sequence_set_priority(
    sequence: godwit_sequence,
    priority: i32,
) -> godwit_status {
    border_of(sequence, || {
        let (entry, sequence) = handles::sequence(sequence)?;
        let mut held = entry.hold()?;
        Ok(held.state()?.scheduler.set_priority(sequence, priority)?)
    })
}

/// Forgets the tokens of a sequence from `length` on, and ends its requests. Nothing happens where
/// it has no more than that.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_sequence_truncate(
    sequence: godwit_sequence,
    length: usize,
) -> godwit_status {
    border_of(sequence, || {
        let (entry, sequence) = handles::sequence(sequence)?;
        let mut held = entry.hold()?;
        Ok(held.state()?.scheduler.truncate(sequence, length)?)
    })
}

/// Closes a sequence, and ends its requests.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_sequence_close(sequence: godwit_sequence) -> godwit_status {
    border_of(sequence, || {
        let handle = sequence;
        let (entry, sequence) = handles::sequence(sequence)?;
        let mut held = entry.hold()?;
        held.state()?.scheduler.close(sequence)?;
        handles::remove(handle);
        Ok(())
    })
}

/// The tokens of a sequence: prompts and replies so far.
///
/// @param ids       takes the ids; may be null where `capacity` is 0
/// @param capacity  ids that there is room for
/// @param count     takes how many there are
///
/// @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_sequence_tokens(
    sequence: godwit_sequence,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> godwit_status {
    border_of(sequence, || {
        let (entry, sequence) = handles::sequence(sequence)?;
        let found = entry.hold()?.state()?.scheduler.tokens(sequence)?;
        // SAFETY: `ids` and `count` are null or valid.
        unsafe { out_ids(&found, ids, capacity, count) }
    })
}
