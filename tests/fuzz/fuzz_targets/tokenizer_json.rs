//! Any bytes as a `tokenizer.json`, and a text for it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("tokenizer_json", data, godwit::fuzzing::tokenizer_json);
});
