//! What is said to a sequence, and how replies are generated.

use std::ffi::c_char;
use std::sync::Arc;

use godwit::scheduler::{Request, SequenceId};

use crate::arguments::{Struct, check_reserved, options, out_handle, out_value, text, values};
use crate::border::border_of;
use crate::entries::{ModelEntry, RequestEntry, SchedulerEntry, State};
use crate::handles::{self, Object};
use crate::sequence::godwit_sequence;
use crate::status::{Failure, Outcome, godwit_status};
use crate::text::{encode_chat, godwit_message};

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
    check_reserved("godwit_reply_options", given.reserved)?;
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
