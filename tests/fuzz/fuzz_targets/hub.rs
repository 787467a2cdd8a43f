//! Any bytes as a model's name and the hub's list of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("hub", data, godwit_hub::fuzzed::hub);
});
