//! Any bytes as a block of a prompt on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("prefix_block", data, godwit::fuzzing::prefix_block);
});
