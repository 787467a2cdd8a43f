//! Any bytes as quantised weights on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("cached_weights", data, godwit::fuzzing::cached_weights);
});
