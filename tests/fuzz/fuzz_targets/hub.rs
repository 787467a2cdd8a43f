//! Any bytes as a model's name and the hub's list of files.
//!
//! The command is no library, so its parsers come in by path.
#![no_main]
#![allow(dead_code)]

#[path = "../../../cli/src/hub/choose.rs"]
mod choose;
#[path = "../../../cli/src/hub/error.rs"]
mod error;
#[path = "../../../cli/src/hub/fuzzed.rs"]
mod fuzzed;
#[path = "../../../cli/src/hub/listing.rs"]
mod listing;
#[path = "../../../cli/src/hub/name.rs"]
mod name;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzed::hub(data);
});
