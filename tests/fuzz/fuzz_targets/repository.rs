//! Any bytes as the files of a repository: config.json, safetensors, their index, the tokenizer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("repository", data, godwit::fuzzing::repository);
});
