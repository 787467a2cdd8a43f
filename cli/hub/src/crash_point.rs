//! Marks for tests that kill the process.

#[cfg(all(test, unix))]
#[path = "../../../runtime/src/io/crash.rs"]
pub mod kill;

/// A place where a test may kill the process. It does nothing outside tests.
#[inline]
pub fn crash_point() {
    #[cfg(all(test, unix))]
    kill::pass();
}
