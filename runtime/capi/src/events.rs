//! What happened to requests: pieces of replies, and their ends.

use std::ffi::c_char;

use godwit::FinishReason;
use godwit::scheduler::Event;

use crate::arguments::{Struct, check_out_struct, out_struct, out_text};
use crate::border::border_of;
use crate::entries::State;
use crate::handles;
use crate::reply::godwit_request;
use crate::scheduler::godwit_scheduler;
use crate::sequence::godwit_sequence;
use crate::status::{Failure, godwit_status};

/// There is no event.
pub const GODWIT_EVENT_NONE: u32 = 0;
/// A part of a reply: a token, and the text that is certain with it.
pub const GODWIT_EVENT_PIECE: u32 = 1;
/// A reply ended. Its request's handle is closed with this event.
pub const GODWIT_EVENT_FINISHED: u32 = 2;
/// A request failed: `status` says why, and the text describes it. Its handle is closed with this
/// event; its sequence can be used.
pub const GODWIT_EVENT_FAILED: u32 = 3;

/// The model ended its turn.
pub const GODWIT_FINISH_END_OF_TURN: u32 = 1;
/// A stop string came; it is not part of the text.
pub const GODWIT_FINISH_STOP_STRING: u32 = 2;
/// As many tokens as were asked for.
pub const GODWIT_FINISH_LENGTH: u32 = 3;
/// The context is full.
pub const GODWIT_FINISH_CONTEXT: u32 = 4;
/// The GPU has no memory for another token.
pub const GODWIT_FINISH_MEMORY: u32 = 5;
/// `godwit_cancel` ended it.
pub const GODWIT_FINISH_CANCELLED: u32 = 6;
/// Another reason, which this header does not know.
pub const GODWIT_FINISH_OTHER: u32 = 7;

/// `token` of an event that has text alone.
pub const GODWIT_NO_TOKEN: u32 = u32::MAX;

/// What happened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_event {
    /// sizeof(godwit_event).
    pub size: usize,
    /// The request.
    pub request: godwit_request,
    /// Its sequence; 0 where that was closed.
    pub sequence: godwit_sequence,
    /// Bytes of the text: of a piece, or of an error's description.
    pub text_length: usize,
    /// GODWIT_EVENT_NONE, GODWIT_EVENT_PIECE and so on.
    pub kind: u32,
    /// Of a piece: the token, or GODWIT_NO_TOKEN.
    pub token: u32,
    /// Of an end: GODWIT_FINISH_END_OF_TURN and so on.
    pub reason: u32,
    /// Of a failure: a `godwit_status`.
    pub status: i32,
    /// Of an end: tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of an end: those of them that were found in the cache.
    pub cached_tokens: u32,
    /// Of an end: tokens of the reply.
    pub reply_tokens: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_event {}

/// Takes the next event: in a loop, until it is GODWIT_EVENT_NONE.
///
/// @param event     takes it
/// @param text      takes the event's text in UTF-8, and a 0 behind it; may be null where
///                  `capacity` is 0
/// @param capacity  bytes of `text`; 256 are enough for pieces
///
/// @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `text_length` + 1: the event comes
///         again, with the same text
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_next_event(
    scheduler: godwit_scheduler,
    event: *mut godwit_event,
    text: *mut c_char,
    capacity: usize,
) -> godwit_status {
    border_of(scheduler, || {
        let entry = handles::scheduler(scheduler)?;
        // SAFETY: `event` is null or valid for its size.
        unsafe { check_out_struct("godwit_event", event) }?;
        let mut held = entry.hold()?;
        let state = held.state()?;
        let next = state.pending.take();
        let next = next.or_else(|| state.scheduler.next_event());
        let (found, said) = state.describe(next.as_ref());
        // SAFETY: `event` as above; `text` is null or valid for `capacity` bytes.
        unsafe { out_struct("godwit_event", event, &found) }?;
        if let Some(next) = next {
            // SAFETY: As above.
            let written = unsafe { out_text(&said, text, capacity) };
            if !said.is_empty()
                && let Err(error) = written
            {
                state.pending = Some(next);
                return Err(error);
            }
        }
        if matches!(found.kind, GODWIT_EVENT_FINISHED | GODWIT_EVENT_FAILED) {
            state
                .requests
                .retain(|_, request| request.handle != found.request);
            handles::remove(found.request);
        }
        Ok(())
    })
}

impl State {
    /// An event as C has it, and its text.
    fn describe(&self, event: Option<&Event>) -> (godwit_event, String) {
        let mut found = godwit_event {
            size: 0,
            request: 0,
            sequence: 0,
            text_length: 0,
            kind: GODWIT_EVENT_NONE,
            token: GODWIT_NO_TOKEN,
            reason: 0,
            status: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            reply_tokens: 0,
            reserved: 0,
        };
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut said = String::new();
        let of = match event {
            Some(Event::Piece { request, piece, .. }) => {
                found.kind = GODWIT_EVENT_PIECE;
                found.token = piece.token.unwrap_or(GODWIT_NO_TOKEN);
                said.clone_from(&piece.text);
                request
            }
            Some(Event::Finished {
                request,
                reason,
                usage,
            }) => {
                found.kind = GODWIT_EVENT_FINISHED;
                found.reason = number_of(reason);
                found.prompt_tokens = narrow(usage.prompt_tokens);
                found.cached_tokens = narrow(usage.cached_tokens);
                found.reply_tokens = narrow(usage.completion_tokens);
                request
            }
            Some(Event::Failed { request, error }) => {
                let failure = Failure::from(error.clone());
                found.kind = GODWIT_EVENT_FAILED;
                found.status = failure.status as i32;
                said = failure.message;
                request
            }
            // An event of a kind that this interface does not know is none.
            Some(_) | None => return (found, said),
        };
        if let Some(request) = self.requests.get(of) {
            found.request = request.handle;
            let sequence = request.sequence_handle;
            let is_open = handles::sequence(sequence).is_ok();
            found.sequence = if is_open { sequence } else { 0 };
        }
        found.text_length = said.len();
        (found, said)
    }
}

fn number_of(reason: &FinishReason) -> u32 {
    match reason {
        FinishReason::EndOfTurn => GODWIT_FINISH_END_OF_TURN,
        FinishReason::StopString => GODWIT_FINISH_STOP_STRING,
        FinishReason::Length => GODWIT_FINISH_LENGTH,
        FinishReason::Context => GODWIT_FINISH_CONTEXT,
        FinishReason::Memory(_) => GODWIT_FINISH_MEMORY,
        FinishReason::Cancelled => GODWIT_FINISH_CANCELLED,
        _ => GODWIT_FINISH_OTHER,
    }
}
