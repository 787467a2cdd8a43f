//! Panics that a test injects.

/// A place where a test may have this thread panic. Nothing outside tests.
#[inline]
pub(crate) fn panic_point() {
    #[cfg(feature = "testing")]
    testing::pass();
}

#[cfg(feature = "testing")]
mod testing {
    use std::cell::Cell;

    thread_local! {
        pub(super) static LEFT: Cell<u32> = const { Cell::new(0) };
    }

    #[allow(clippy::panic, reason = "a test asked for it")]
    pub(super) fn pass() {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 1 {
            panic!("injected by a test");
        }
    }
}

/// Has this thread panic at the `count`-th point that it passes from now on: each function has one
/// at its beginning, and one more where it holds a scheduler. 0: never.
#[cfg(feature = "testing")]
#[unsafe(no_mangle)]
pub extern "C" fn godwit_testing_panic(count: u32) {
    testing::LEFT.set(count);
}
