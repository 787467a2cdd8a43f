//! Streams that a future holds while it waits for the GPU. They are `Send`, as the future is; in a
//! browser nothing moves between threads.

use std::io::{Read, Write};

/// What a snapshot is read from.
#[cfg(not(target_arch = "wasm32"))]
pub type Input<'a> = dyn Read + Send + 'a;
/// What a snapshot is read from.
#[cfg(target_arch = "wasm32")]
pub type Input<'a> = dyn Read + 'a;

/// What a snapshot is written to.
#[cfg(not(target_arch = "wasm32"))]
pub type Output<'a> = dyn Write + Send + 'a;
/// What a snapshot is written to.
#[cfg(target_arch = "wasm32")]
pub type Output<'a> = dyn Write + 'a;
