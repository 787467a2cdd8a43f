//! Any bytes as an endpoint, an address, and where a chain of redirects leads from there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    godwit_fuzz::check("redirects", data, godwit_hub::fuzzed::redirects);
});
