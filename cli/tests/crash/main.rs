//! The state after a command is killed, on a full disk, and when several processes use one cache.
//!
//! The points inside of writing are in the runtime's tests; `tests/crash.sh` repeats this for
//! longer, on a small disk of its own.
#![cfg(unix)]

mod full;
mod place;
mod shared;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use godwit_tests::gguf::Builder;
use godwit_tests::hub_server::{Hub, sha256};

use place::{Noise, Place, files, kill_after};

/// Rounds of each test: more where a script asks for them.
fn rounds() -> u64 {
    std::env::var("GODWIT_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(3)
}

#[test]
fn a_command_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let place = Place::new();
    let mut noise = Noise(1);
    for (to, args) in place.writers() {
        let begin = Instant::now();
        place.says(&args);
        let (time, whole) = (begin.elapsed(), fs::read(&to).expect("the file"));
        for round in 0..rounds() {
            // Nothing, or an earlier file.
            let old: &[u8] = if round % 2 == 0 { b"" } else { b"notes" };
            fs::remove_file(&to).expect("removed");
            if !old.is_empty() {
                fs::write(&to, old).expect("an earlier file");
            }
            let part = noise.below(1000) as f64 / 900.0;
            let child = place.command("", &args).spawn().expect("it starts");
            let output = kill_after(child, time.mul_f64(part));
            assert!(
                output.status.success() || output.status.signal() == Some(9),
                "{args:?}: {output:?}"
            );
            let found = fs::read(&to).unwrap_or_default();
            assert!(
                found == old || found == whole,
                "{}: {} bytes",
                to.display(),
                found.len()
            );
            place.says(&args);
            assert!(
                fs::read(&to).expect("the file") == whole,
                "{}",
                to.display()
            );
            assert_eq!(place.left_over(), [] as [PathBuf; 0]);
        }
    }
}

#[test]
fn a_cache_that_is_killed_gives_the_right_answer() {
    let place = Place::new();
    let args = place.quantised("q4_0");
    let right = place.says(&args);
    let weights = place.path("cache/godwit/weights");
    let begin = Instant::now();
    place.says(&args);
    let (time, mut noise) = (begin.elapsed(), Noise(2));
    for _ in 0..rounds() {
        fs::remove_dir_all(place.path("cache")).expect("removed");
        let child = place.command("", &args).spawn().expect("it starts");
        kill_after(child, time.mul_f64(noise.below(1000) as f64 / 900.0));
        assert_eq!(place.says(&args), right);
        assert_eq!(place.left_over(), [] as [PathBuf; 0]);
        assert_eq!(fs::read_dir(&weights).expect("a folder").count(), 1);
    }
    // Only its owner sees what is in it.
    for (path, mode) in [
        (weights.clone(), 0o700),
        (place.path("cache/godwit"), 0o700),
    ] {
        assert_eq!(
            std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("a folder")) & 0o777,
            mode
        );
    }
}
