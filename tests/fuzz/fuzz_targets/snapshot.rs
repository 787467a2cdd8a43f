//! Any bytes as a saved context: header, tokens, keys and values, hash.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("snapshot", data, godwit::fuzzing::snapshot);
});
