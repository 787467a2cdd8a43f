//! Hashing all tensors of a checkpoint: on all cores, or one after the other in a browser.

use blake3::{Hash, Hasher};

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::gguf::Tensor;
use crate::progress::{OnProgress, Progress};

/// Bytes that are hashed at a time where tensors have to be read.
const CHUNK: u64 = 8 << 20;

/// How often `progress` hears how far hashing is, where other threads do it.
#[cfg(not(target_arch = "wasm32"))]
const TICK: std::time::Duration = std::time::Duration::from_millis(50);

fn all_bytes(checkpoint: &dyn Checkpoint) -> u64 {
    checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum()
}

/// Hashes all tensors, on all cores. This thread waits, and calls `progress`.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn hash_tensors(
    checkpoint: &dyn Checkpoint,
    progress: &mut OnProgress<'_>,
) -> Result<Vec<Hash>, Error> {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use rayon::prelude::*;
    let (done, is_stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = all_bytes(checkpoint);
    if progress(Progress { done: 0, total }).is_break() {
        return Err(Error::Stopped);
    }
    std::thread::scope(|scope| {
        let (finished, result) = channel();
        let hash_all = || {
            let each = |bytes| {
                done.fetch_add(bytes, Ordering::Relaxed);
                if is_stopped.load(Ordering::Relaxed) {
                    Err(Error::Stopped)
                } else {
                    Ok(())
                }
            };
            checkpoint
                .tensors()
                .par_iter()
                .map(|tensor| hash_tensor(checkpoint, tensor, &mut { each }))
                .collect()
        };
        let worker = scope.spawn(move || finished.send(hash_all()));
        loop {
            match result.recv_timeout(TICK) {
                Ok(hashes) => return hashes,
                Err(RecvTimeoutError::Timeout) => {
                    if progress(Progress {
                        done: done.load(Ordering::Relaxed),
                        total,
                    })
                    .is_break()
                    {
                        is_stopped.store(true, Ordering::Relaxed);
                    }
                }
                // Nothing comes from a thread that panicked.
                Err(RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(_) => return Err(Error::Stopped),
                },
            }
        }
    })
}

#[cfg(target_arch = "wasm32")]
pub(super) fn hash_tensors(
    checkpoint: &dyn Checkpoint,
    progress: &mut OnProgress<'_>,
) -> Result<Vec<Hash>, Error> {
    let (mut done, total) = (0, all_bytes(checkpoint));
    let mut each = |bytes| {
        done += bytes;
        if progress(Progress { done, total }).is_break() {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    };
    checkpoint
        .tensors()
        .iter()
        .map(|tensor| hash_tensor(checkpoint, tensor, &mut each))
        .collect()
}

/// Hashes one tensor; `each` hears of the bytes as they are hashed, and may end it.
pub(super) fn hash_tensor(
    checkpoint: &dyn Checkpoint,
    tensor: &Tensor,
    each: &mut dyn FnMut(u64) -> Result<(), Error>,
) -> Result<Hash, Error> {
    // Whole rows: what is made of other bytes is made row by row.
    let width = tensor.shape.first().copied().unwrap_or(1);
    let row = tensor.format.bytes(width).unwrap_or(tensor.bytes).max(1);
    let step = (CHUNK / row).max(1) * row;
    let mut hash = Hasher::new();
    let mut at = 0;
    while at < tensor.bytes {
        let end = (at + step).min(tensor.bytes);
        let bytes = checkpoint.data(tensor, at..end)?;
        update(&mut hash, &bytes);
        each(end - at)?;
        at = end;
    }
    Ok(hash.finalize())
}

/// Hashes on all cores: one tensor may be much larger than the others.
#[cfg(not(target_arch = "wasm32"))]
fn update(hash: &mut Hasher, bytes: &[u8]) {
    hash.update_rayon(bytes);
}

#[cfg(target_arch = "wasm32")]
fn update(hash: &mut Hasher, bytes: &[u8]) {
    hash.update(bytes);
}
