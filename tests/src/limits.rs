//! The limits for hostile input: memory in proportion to its length, and time.
//!
//! The fuzz targets and the ordinary tests share these lines. The counter of bytes is the global
//! allocator of whichever program runs them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

/// The limits of a target for one input.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory whatever the input.
    pub bytes: usize,
    /// Bytes of memory for each byte of the input.
    pub times: usize,
    /// The time that it may take.
    pub time: Duration,
}

impl Limits {
    /// The limits of a fuzz target.
    ///
    /// Patterns of a tokenizer may take a few megabytes each. A template has a budget of steps of
    /// 8 bytes each, whatever its length.
    pub fn of(target: &str) -> Self {
        const MIB: usize = 1 << 20;
        let (bytes, times) = match target {
            "chat_template" => (192 * MIB, 256),
            "tokenizer_json" | "repository" => (96 * MIB, 32),
            _ => (48 * MIB, 32),
        };
        Self {
            bytes,
            times,
            time: Duration::from_secs(20),
        }
    }
}

/// The memory and time of a run.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// The most bytes of memory at the same time, besides those that were in use before.
    pub bytes: usize,
    /// The time that it took.
    pub time: Duration,
}

/// Runs something, one at a time in this process, and says what it used up. `peak` must be the
/// global allocator.
pub fn measure(peak: &PeakAlloc, run: impl FnOnce()) -> Used {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = peak.current_usage();
    peak.reset_peak_usage();
    let started = Instant::now();
    run();
    Used {
        time: started.elapsed(),
        bytes: peak.peak_usage().saturating_sub(before),
    }
}

/// Runs a fuzz target on an input.
///
/// # Panics
/// It used up more than its limits.
pub fn check(peak: &PeakAlloc, target: &str, data: &[u8], run: impl FnOnce(&[u8])) {
    let limits = Limits::of(target);
    let used = measure(peak, || run(data));
    let most = limits.bytes + limits.times * data.len();
    assert!(
        used.bytes <= most,
        "{target}: {} bytes took {} bytes of memory, more than {most}",
        data.len(),
        used.bytes
    );
    assert!(
        used.time <= limits.time,
        "{target}: {} bytes took {:?}, more than {:?}",
        data.len(),
        used.time,
        limits.time
    );
}
