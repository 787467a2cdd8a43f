//! Files that Godwit writes and caches: durable writing, private cache folders, eviction.

#[cfg(all(test, unix))]
pub(crate) mod crash;
pub mod durable;
pub mod evict;
pub mod open;
pub mod private;
pub(crate) mod warn;

/// Marks a place where a test may kill the process. Nothing outside tests.
#[inline]
pub(crate) fn crash_point() {
    #[cfg(all(test, unix))]
    crash::pass();
}
