//! How far a long operation is, and whether it goes on: the same for loading, prefill, hashing,
//! quantising, tuning, saving and resuming.

use std::ops::ControlFlow;

/// How far a long operation is. The operation says what is counted: bytes, tokens or measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is in all.
    pub total: u64,
}

impl Progress {
    /// `done` of `total`.
    pub fn new(done: u64, total: u64) -> Self {
        Self { done, total }
    }

    pub(crate) fn of(done: usize, total: usize) -> Self {
        Self::new(done as u64, total as u64)
    }
}

/// Hears how far a long operation is, and stops it with [`ControlFlow::Break`]: the operation then
/// ends with [`Error::Stopped`](crate::Error::Stopped). A prefill whose last token is computed is
/// not stopped any more.
///
/// It is `Send`, as the futures that hold it are. In a browser nothing moves between threads.
#[cfg(not(target_arch = "wasm32"))]
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + Send + 'a;
/// Hears how far a long operation is, and stops it with [`ControlFlow::Break`]: the operation then
/// ends with [`Error::Stopped`](crate::Error::Stopped). A prefill whose last token is computed is
/// not stopped any more.
#[cfg(target_arch = "wasm32")]
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// An [`OnProgress`] that ignores what it hears and stops nothing.
///
/// ```
/// # use godwit::{Progress, unwatched};
/// # let long_operation = |on_progress: &mut godwit::OnProgress| on_progress(Progress::new(1, 2));
/// assert!(long_operation(&mut unwatched).is_continue());
/// ```
pub fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
