//! Sequences, what is said to them, and their snapshots.

use std::ffi::c_char;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit::low_level::io::durable::{Existing, Readers, write_guarded};
use godwit::low_level::io::open::{Links, open_regular};
use godwit::scheduler::{Request, Scheduler, SequenceId, SequenceOptions};
use godwit::{Error, Progress, serde_json};

use crate::arguments::{Struct, options, out_handle, out_ids, out_value, text, values};
use crate::border::border_of;
use crate::handles::{self, Object};
use crate::model::ModelEntry;
use crate::scheduler::{RequestEntry, SchedulerEntry, State, godwit_scheduler};
use crate::status::{Failure, Outcome, godwit_status};
use crate::text::{encode_chat, godwit_message};

/// A sequence of tokens of a scheduler, with its keys and values: a conversation. 0 is none.
pub type godwit_sequence = u64;

/// A reply in the making. 0 is none. Its handle is closed with the event that ends it.
pub type godwit_request = u64;

/// Always the most likely token.
pub const GODWIT_GREEDY: u32 = 1;
/// The prompt is computed, and no reply.
pub const GODWIT_PROMPT_ONLY: u32 = 2;

/// A text with its length.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_text {
    /// In UTF-8.
    pub text: *const c_char,
    /// Its bytes.
    pub length: usize,
}

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

/// How a reply is generated. All zero is the default: what the model's files recommend.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_reply_options {
    /// sizeof(godwit_reply_options).
    pub size: usize,
    /// Strings that end the reply, and are no part of it; may be null.
    pub stops: *const godwit_text,
    /// How many.
    pub stop_count: usize,
    /// Where the random numbers start.
    pub seed: u64,
    /// GODWIT_GREEDY, GODWIT_PROMPT_ONLY, both, or 0.
    pub flags: u32,
    /// Tokens of the reply at most; the one that ends the turn counts. 0: until the model ends its
    /// turn or the context is full.
    pub max_tokens: u32,
    /// Logits are divided by this. 0: as recommended.
    pub temperature: f32,
    /// Only so many of the most likely tokens stay. 0: as recommended. UINT32_MAX: all.
    pub top_k: u32,
    /// Only the most likely tokens stay whose probabilities reach this sum. 0: as recommended. 1:
    /// all.
    pub top_p: f32,
    /// Only tokens stay that are at least this fraction as likely as the most likely one. 0: as
    /// recommended.
    pub min_p: f32,
    /// Makes tokens less likely that came before. 0: as recommended. 1: off.
    pub repetition_penalty: f32,
    /// Subtracted once from the logit of each token that came before.
    pub presence_penalty: f32,
    /// Subtracted from the logit of each token once per time that it came before.
    pub frequency_penalty: f32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, pointers and numbers only.
unsafe impl Struct for godwit_reply_options {}

/// A request for a reply to a prompt.
///
/// # Safety
/// `given` is null or valid for its size, and so are its texts.
unsafe fn request(
    model: &ModelEntry,
    given: *const godwit_reply_options,
    prompt: Vec<u32>,
) -> Outcome<Request> {
    // SAFETY: As the caller says.
    let given = unsafe { options("godwit_reply_options", given) }?;
    if given.flags & !(GODWIT_GREEDY | GODWIT_PROMPT_ONLY) != 0 {
        return Err(Failure::argument(format!(
            "godwit_reply_options.flags are {:#x}; known are 1 and 2",
            given.flags
        )));
    }
    let mut stops = Vec::new();
    // SAFETY: As the caller says.
    for stop in unsafe { values("stops", given.stops, given.stop_count) }? {
        // SAFETY: As the caller says.
        stops.push(unsafe { text("stop", stop.text, stop.length) }?.to_owned());
    }
    let mut sampling = match given.flags & GODWIT_GREEDY {
        0 => model.model.sampling(),
        _ => godwit::Sampling::greedy(),
    };
    let set = |value: f32, to: &mut f32| {
        if value != 0.0 {
            *to = value;
        }
    };
    if given.flags & GODWIT_GREEDY == 0 {
        set(given.temperature, &mut sampling.temperature);
        set(given.top_p, &mut sampling.top_p);
        set(given.min_p, &mut sampling.min_p);
        match given.top_k {
            0 => {}
            u32::MAX => sampling.top_k = 0,
            count => sampling.top_k = count,
        }
    }
    set(given.repetition_penalty, &mut sampling.repetition_penalty);
    set(given.presence_penalty, &mut sampling.presence_penalty);
    set(given.frequency_penalty, &mut sampling.frequency_penalty);
    sampling.seed = given.seed;
    let max_tokens = match given.max_tokens {
        _ if given.flags & GODWIT_PROMPT_ONLY != 0 => 0,
        0 => usize::MAX,
        count => count as usize,
    };
    Ok(Request::new(prompt)
        .sampling(sampling)
        .max_tokens(max_tokens)
        .stop(stops))
}

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

/// A sequence, and the scheduler that it is of.
struct Of {
    entry: Arc<SchedulerEntry>,
    sequence: SequenceId,
    handle: godwit_sequence,
}

impl Of {
    fn find(handle: godwit_sequence) -> Outcome<Self> {
        let (entry, sequence) = handles::sequence(handle)?;
        Ok(Self {
            entry,
            sequence,
            handle,
        })
    }

    /// Submits a request, and gives it a handle.
    fn submit(&self, state: &mut State, request: Request, handle: *mut godwit_request) -> Outcome {
        let id = state.scheduler.submit(self.sequence, request)?;
        let new = match handles::insert(Object::Request(self.entry.clone(), id)) {
            Ok(new) => new,
            Err(error) => {
                state.scheduler.cancel(id);
                return Err(error);
            }
        };
        let entry = RequestEntry {
            handle: new,
            sequence: self.sequence,
            sequence_handle: self.handle,
        };
        state.requests.insert(id, entry);
        // SAFETY: Each caller has checked the pointer with `out_handle`.
        unsafe { out_value("request", handle, new, false) }
    }
}

/// Has a reply generated to a prompt of ids, which are appended to the sequence. Requests of a
/// sequence are answered one after the other.
///
/// @param ids      the prompt
/// @param count    how many ids; 0 where the sequence has tokens to continue from
/// @param options  may be null
/// @param request  takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_reply(
    sequence: godwit_sequence,
    ids: *const u32,
    count: usize,
    options: *const godwit_reply_options,
    request: *mut godwit_request,
) -> godwit_status {
    border_of(sequence, || {
        // SAFETY: `request` is null or valid.
        unsafe { out_handle("request", request) }?;
        let of = Of::find(sequence)?;
        // SAFETY: `ids` is null or valid for `count` values.
        let prompt = unsafe { values("ids", ids, count) }?.to_vec();
        // SAFETY: `options` is null or valid for its size, and so are its texts.
        let asked = unsafe { self::request(&of.entry.model, options, prompt) }?;
        let mut held = of.entry.hold()?;
        of.submit(held.state()?, asked, request)
    })
}

/// Makes a sequence hold a conversation, and has the reply to it generated. The tokens that the
/// sequence begins with already stay as they are: where the conversation goes on from the one
/// before, only what is new is computed. Requests of the sequence that have not ended are
/// cancelled.
///
/// @param messages  the whole conversation, in order
/// @param count     how many messages
/// @param options   may be null
/// @param request   takes the handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_say(
    sequence: godwit_sequence,
    messages: *const godwit_message,
    count: usize,
    options: *const godwit_reply_options,
    request: *mut godwit_request,
) -> godwit_status {
    border_of(sequence, || {
        // SAFETY: `request` is null or valid.
        unsafe { out_handle("request", request) }?;
        let of = Of::find(sequence)?;
        // SAFETY: `messages` is null or valid, as the header says.
        let ids = unsafe { encode_chat(&of.entry.model, messages, count) }?;
        // SAFETY: `options` is null or valid for its size, and so are its texts.
        let asked = unsafe { self::request(&of.entry.model, options, Vec::new()) }?;
        let mut held = of.entry.hold()?;
        let state = held.state()?;
        let ongoing = state.requests.iter();
        let ongoing = ongoing.filter(|(_, request)| request.sequence == of.sequence);
        let ongoing: Vec<_> = ongoing.map(|(id, _)| *id).collect();
        for id in ongoing {
            state.scheduler.cancel(id);
        }
        let held_tokens = state.scheduler.tokens(of.sequence)?;
        let kept = held_tokens.iter().zip(&ids);
        let kept = kept.take_while(|(held, new)| held == new).count();
        state.scheduler.truncate(of.sequence, kept)?;
        of.submit(state, asked.prompt(ids[kept..].to_vec()), request)
    })
}

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
        let Of {
            entry, sequence, ..
        } = Of::find(sequence)?;
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
        let Of {
            entry, sequence, ..
        } = Of::find(sequence)?;
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
