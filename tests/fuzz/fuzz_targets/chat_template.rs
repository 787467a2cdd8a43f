//! Any text as a chat template.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("chat_template", data, godwit::fuzzing::chat_template);
});
