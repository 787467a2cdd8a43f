//! Text to token ids and back.

use std::ffi::c_char;

use godwit::{Message, Special};

use crate::arguments::{Struct, option_list, out_ids, out_text, out_value, text, values};
use crate::border::border;
use crate::entries::ModelEntry;
use crate::handles;
use crate::model::godwit_model;
use crate::status::{Failure, Outcome, godwit_status};

/// For `godwit_tokenize`: control tokens in the text, such as "<|im_end|>", count as such. Without
/// it they are text like any other: for what people write.
pub const GODWIT_PARSE_SPECIAL: u32 = 1;

/// For `godwit_tokenize`: the token that begins a text comes first, where the model expects one.
pub const GODWIT_ADD_BEGIN: u32 = 2;

/// A message of a conversation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_message {
    /// sizeof(godwit_message).
    pub size: usize,
    /// "system", "user" or "assistant", in UTF-8.
    pub role: *const c_char,
    /// Bytes of `role`.
    pub role_length: usize,
    /// The text, in UTF-8. No text becomes a control token.
    pub content: *const c_char,
    /// Bytes of `content`.
    pub content_length: usize,
}

// SAFETY: `repr(C)`, begins with its size, pointers and numbers only.
unsafe impl Struct for godwit_message {}

/// The ids of a conversation, ready for a reply.
///
/// # Safety
/// `messages` is null or valid for `count` structs of the size that the first one says, and their
/// texts are valid.
pub(crate) unsafe fn encode_chat(
    entry: &ModelEntry,
    messages: *const godwit_message,
    count: usize,
) -> Outcome<Vec<u32>> {
    // SAFETY: As the caller says.
    let list = unsafe { option_list("godwit_message", messages, count) }?;
    let mut conversation = Vec::new();
    for message in list {
        // SAFETY: As the caller says.
        let (role, content) = unsafe {
            (
                text("role", message.role, message.role_length)?,
                text("content", message.content, message.content_length)?,
            )
        };
        let (role, content) = (role.into(), content.into());
        conversation.push(Message { role, content });
    }
    let model = &entry.model;
    let chat = model.chat().map_err(godwit::Error::from)?;
    let ids = chat.encode(model.tokenizer(), &conversation, true);
    Ok(ids.map_err(godwit::Error::from)?)
}

/// Turns a text into ids.
///
/// @param text         in UTF-8
/// @param text_length  bytes of `text`
/// @param flags        GODWIT_PARSE_SPECIAL, GODWIT_ADD_BEGIN, both, or 0
/// @param ids          takes the ids; may be null where `capacity` is 0
/// @param capacity     ids that there is room for
/// @param count        takes how many there are
///
/// @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_tokenize(
    model: godwit_model,
    text: *const c_char,
    text_length: usize,
    flags: u32,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        // SAFETY: `text` is null or valid for its length.
        let text = unsafe { crate::arguments::text("text", text, text_length) }?;
        if flags & !(GODWIT_PARSE_SPECIAL | GODWIT_ADD_BEGIN) != 0 {
            let message = format!("flags are {flags:#x}; known are 1 and 2");
            return Err(Failure::argument(message));
        }
        let special = match flags & GODWIT_PARSE_SPECIAL {
            0 => Special::Text,
            _ => Special::Parse,
        };
        let tokenizer = entry.model.tokenizer();
        let adds = flags & GODWIT_ADD_BEGIN != 0 && tokenizer.adds_bos();
        let mut found: Vec<u32> = tokenizer.bos().filter(|_| adds).into_iter().collect();
        found.extend(
            tokenizer
                .encode(text, special)
                .map_err(godwit::Error::from)?,
        );
        // SAFETY: `ids` and `count` are null or valid.
        unsafe { out_ids(&found, ids, capacity, count) }
    })
}

/// Turns ids into text. Ids that are not in the vocabulary, and control tokens, have none.
///
/// @param ids       the ids
/// @param count     how many
/// @param buffer    takes the text in UTF-8, and a 0 behind it; may be null where `capacity` is 0
/// @param capacity  bytes of `buffer`
/// @param length    takes the length of the text without the 0
///
/// @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `length` + 1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_detokenize(
    model: godwit_model,
    ids: *const u32,
    count: usize,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        // SAFETY: `ids` is null or valid for `count` values.
        let ids = unsafe { values("ids", ids, count) }?;
        let text = entry.model.tokenizer().decode(ids);
        // SAFETY: `length` is null or valid, `buffer` null or valid for `capacity` bytes.
        unsafe {
            out_value("length", length, text.len(), false)?;
            out_text(&text, buffer, capacity)
        }
    })
}

/// Turns a conversation into the ids that the model expects, ready for its reply, by its own chat
/// template.
///
/// @param messages       in order
/// @param message_count  how many
/// @param ids            takes the ids; may be null where `capacity` is 0
/// @param capacity       ids that there is room for
/// @param count          takes how many there are
///
/// @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_encode_chat(
    model: godwit_model,
    messages: *const godwit_message,
    message_count: usize,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> godwit_status {
    border(|| {
        let entry = handles::model(model)?;
        // SAFETY: `messages` is null or valid, as the header says.
        let found = unsafe { encode_chat(&entry, messages, message_count) }?;
        // SAFETY: `ids` and `count` are null or valid.
        unsafe { out_ids(&found, ids, capacity, count) }
    })
}
