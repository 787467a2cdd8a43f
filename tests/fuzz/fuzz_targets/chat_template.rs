//! Any text as a chat template.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit::fuzzing::chat_template(data);
});
