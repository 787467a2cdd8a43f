//! Any bytes as what a server says about the part of a file that it sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("content_range", data, godwit_hub::fuzzed::content_range);
});
