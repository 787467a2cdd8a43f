//! Calls of the C interface as the other tests make them.

use std::ffi::c_char;
use std::path::PathBuf;
use std::ptr::null;
use std::sync::OnceLock;

use godwit_capi::godwit_status::GODWIT_OK;
use godwit_capi::*;
use godwit_tests::model::fixture;

/// A struct of the interface with its size, and the rest zero.
macro_rules! sized {
    ($type:ty) => {{
        let mut value: $type = crate::calls::zeroed();
        value.size = size_of::<$type>();
        value
    }};
}
pub(crate) use sized;

/// A struct of the interface, all zero.
pub fn zeroed<T: Copy>() -> T {
    // SAFETY: It is called for structs of the interface alone, all of which are plain data.
    unsafe { std::mem::zeroed() }
}

/// The message of this thread's last error.
pub fn last_error() -> String {
    let mut buffer = [0_u8; 2048];
    let mut length = 0;
    // SAFETY: The buffer is as long as is said.
    let status =
        unsafe { godwit_last_error(buffer.as_mut_ptr().cast(), buffer.len(), &raw mut length) };
    assert_eq!(status, GODWIT_OK);
    String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
}

/// Checks that a call did what it should.
#[track_caller]
pub fn ok(status: godwit_status) {
    assert_eq!(status, GODWIT_OK, "{}", last_error());
}

/// The handle that a call gives.
#[track_caller]
pub fn opened(call: impl FnOnce(*mut u64) -> godwit_status) -> u64 {
    let mut handle = 0;
    ok(call(&raw mut handle));
    assert_ne!(handle, 0);
    handle
}

/// A text's pointer and length.
pub fn parts(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

/// The test model's file.
pub fn file() -> PathBuf {
    fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The test model, opened once.
pub fn model() -> godwit_model {
    static MODEL: OnceLock<godwit_model> = OnceLock::new();
    *MODEL.get_or_init(|| {
        let path = file();
        let (path, length) = parts(path.to_str().expect("UTF-8"));
        // SAFETY: The path is valid.
        opened(|model| unsafe { godwit_model_open(path, length, model) })
    })
}

/// An engine of a model, with a short context.
pub fn load(model: godwit_model) -> godwit_engine {
    let adapter = std::env::var("GODWIT_ADAPTER").unwrap_or_default();
    let mut options = sized!(godwit_engine_options);
    (options.adapter, options.adapter_length) = parts(&adapter);
    options.context = 1024;
    // SAFETY: The options and their text are valid.
    opened(|engine| unsafe { godwit_engine_load(model, &raw const options, engine) })
}

/// The test model's engine, loaded once.
pub fn engine() -> godwit_engine {
    static ENGINE: OnceLock<godwit_engine> = OnceLock::new();
    *ENGINE.get_or_init(|| load(model()))
}

/// A scheduler of an engine.
pub fn scheduler(engine: godwit_engine, frame_budget: u32) -> godwit_scheduler {
    let mut options = sized!(godwit_scheduler_options);
    options.frame_budget = frame_budget;
    options.max_running = 4;
    // SAFETY: The options are valid.
    opened(|made| unsafe { godwit_scheduler_open(engine, &raw const options, made) })
}

/// An empty sequence.
pub fn sequence(scheduler: godwit_scheduler) -> godwit_sequence {
    // SAFETY: No options are given.
    opened(|made| unsafe { godwit_sequence_open(scheduler, null(), made) })
}

/// Asks for a greedy reply of `max_tokens` to a question of the user's.
pub fn say(sequence: godwit_sequence, text: &str, max_tokens: u32) -> godwit_request {
    let mut message = sized!(godwit_message);
    (message.role, message.role_length) = parts("user");
    (message.content, message.content_length) = parts(text);
    let mut options = sized!(godwit_reply_options);
    options.flags = GODWIT_GREEDY;
    options.max_tokens = max_tokens;
    // SAFETY: The message, its texts and the options are valid.
    opened(|request| unsafe {
        godwit_say(sequence, &raw const message, 1, &raw const options, request)
    })
}

/// A request that has ended.
#[derive(Debug, Default)]
pub struct Ended {
    pub ids: Vec<u32>,
    pub text: String,
    pub reason: u32,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
}

/// Computes until a request ends. Events of others are dropped.
pub fn end(scheduler: godwit_scheduler, request: godwit_request) -> Ended {
    let [ended] = ends(scheduler, [request]);
    ended
}

/// Computes until all of these requests have ended.
pub fn ends<const N: usize>(
    scheduler: godwit_scheduler,
    requests: [godwit_request; N],
) -> [Ended; N] {
    let mut ended = requests.map(|_| Ended::default());
    let mut buffer = [0_u8; 256];
    while ended.iter().any(|one| one.reason == 0) {
        let mut report = sized!(godwit_step_report);
        // SAFETY: The report is valid.
        ok(unsafe { godwit_step(scheduler, 0, &raw mut report) });
        assert_ne!(report.has_work, 0);
        ok(godwit_wait(scheduler));
        loop {
            let mut event = sized!(godwit_event);
            let buffer_at = buffer.as_mut_ptr().cast();
            // SAFETY: The event and the buffer are valid.
            ok(unsafe { godwit_next_event(scheduler, &raw mut event, buffer_at, buffer.len()) });
            if event.kind == GODWIT_EVENT_NONE {
                break;
            }
            let Some(of) = requests
                .iter()
                .position(|request| *request == event.request)
            else {
                continue;
            };
            let text = std::str::from_utf8(&buffer[..event.text_length]).expect("UTF-8");
            assert_ne!(event.kind, GODWIT_EVENT_FAILED, "{text}");
            let one = &mut ended[of];
            one.text += text;
            one.reason = event.reason;
            one.prompt_tokens = event.prompt_tokens;
            one.ids
                .extend((event.token != GODWIT_NO_TOKEN).then_some(event.token));
        }
    }
    ended
}

/// The greedy reply of an engine to a question.
pub fn reply(engine: godwit_engine, question: &str, max_tokens: u32) -> Ended {
    let scheduler = scheduler(engine, 0);
    let ended = end(scheduler, say(sequence(scheduler), question, max_tokens));
    ok(godwit_scheduler_close(scheduler));
    ended
}

/// The tokens of a sequence.
pub fn tokens(sequence: godwit_sequence) -> Vec<u32> {
    let mut ids = vec![0; 4096];
    let mut count = 0;
    // SAFETY: There is room for as many ids as is said.
    ok(unsafe { godwit_sequence_tokens(sequence, ids.as_mut_ptr(), ids.len(), &raw mut count) });
    ids.truncate(count);
    ids
}
