//! Any bytes as a model file: metadata, tensor table, hyperparameters, tokenizer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("gguf", data, godwit::fuzzing::gguf);
});
