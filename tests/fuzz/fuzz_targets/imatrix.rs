//! Any bytes as an importance matrix.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("imatrix", data, godwit::fuzzing::imatrix);
});
