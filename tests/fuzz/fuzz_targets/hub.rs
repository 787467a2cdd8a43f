//! Any bytes as a model's name and the hub's list of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_cli::fuzz_hub(data);
});
