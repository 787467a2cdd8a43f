//! Any bytes as quantised weights on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit::fuzzing::cached_weights(data);
});
