//! Any bytes as a `tokenizer.json`, and a text for it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit::fuzzing::tokenizer_json(data);
});
