//! Progress bars.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};

use crate::output;

/// How long kernels may be compiled without a word.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is said while kernels are compiled.
const COMPILING: &str = "compiling kernels for this GPU, once";

/// A bar on stderr, shown on a terminal only. It makes room for whatever else is written to stderr,
/// and is gone when the value is.
pub struct Bar {
    bar: ProgressBar,
    is_shown: AtomicBool,
}

impl Bar {
    /// Shows how far the work is. Before the first call, and while the total is 0, nothing is
    /// shown.
    pub fn show(&self, now: Progress) {
        if now.total == 0 {
            return;
        }
        if !self.is_shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(target());
        }
        if IS_LENT.load(Ordering::Relaxed) && IS_LENT.swap(false, Ordering::SeqCst) {
            take_back(&self.bar);
        }
        self.bar.set_length(now.total);
        self.bar.set_position(now.done);
    }
}

impl Deref for Bar {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        IS_LENT.store(false, Ordering::SeqCst);
        self.bar.finish_and_clear();
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(10)
}

/// A bar whose length is not known yet.
pub fn bar(what: &'static str, counts: &str) -> Bar {
    Bar {
        bar: plain_bar(what, counts, ProgressDrawTarget::hidden()),
        is_shown: AtomicBool::new(false),
    }
}

fn plain_bar(what: &'static str, counts: &str, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target);
    output::show_bar(&bar);
    let style = style(&format!("{{msg}} {{bar:30}} {counts}, {{eta}} left"));
    bar.set_style(style.clone());
    bar.set_message(what);
    let newest = Newest {
        bar: bar.downgrade(),
        style,
        what,
    };
    *NEWEST.lock().unwrap_or_else(PoisonError::into_inner) = Some(newest);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The bar of a download. Its owner clears it.
pub fn downloading() -> ProgressBar {
    plain_bar(
        "downloading",
        "{bytes}/{total_bytes}, {bytes_per_sec}",
        target(),
    )
}

/// The newest bar, and how it looks.
struct Newest {
    bar: WeakProgressBar,
    style: ProgressStyle,
    what: &'static str,
}

static NEWEST: Mutex<Option<Newest>> = Mutex::new(None);

/// Kernels that are being compiled.
struct Compilation {
    begin: Instant,
    /// A bar of its own, where no work's bar is shown.
    bar: Option<Bar>,
}

static COMPILATION: Mutex<Option<Compilation>> = Mutex::new(None);

/// The newest bar says what is compiled, until its work goes on.
static IS_LENT: AtomicBool = AtomicBool::new(false);

/// Shows how many kernels of a plan are compiled: in the place of the bar of the work that waits
/// for them, until that goes on. Some drivers compile when a kernel is first run, and say nothing
/// before that. Without such a bar, what takes no time is not shown.
pub fn compiling(now: Progress) {
    let text = format!("{COMPILING}: {} of {}", now.done, now.total);
    if let Some(bar) = newest().filter(|bar| !bar.is_finished() && !bar.is_hidden()) {
        if !IS_LENT.swap(true, Ordering::SeqCst) {
            bar.set_style(style("{msg}"));
        }
        return bar.set_message(text);
    }
    let mut compilation = COMPILATION.lock().unwrap_or_else(PoisonError::into_inner);
    if now.done >= now.total {
        // The bar goes with it.
        *compilation = None;
        return;
    }
    let compilation = compilation.get_or_insert_with(|| Compilation {
        begin: Instant::now(),
        bar: None,
    });
    if compilation.begin.elapsed() > PATIENCE {
        compilation.bar.get_or_insert_with(own).set_message(text);
    }
}

fn newest() -> Option<ProgressBar> {
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    newest.as_ref()?.bar.upgrade()
}

/// A bar for kernels that no other work's bar waits for.
fn own() -> Bar {
    let bar = ProgressBar::with_draw_target(None, target());
    output::show_bar(&bar);
    bar.set_style(style("{msg}"));
    Bar {
        bar,
        is_shown: AtomicBool::new(true),
    }
}

/// Gives a bar back to its work.
fn take_back(bar: &ProgressBar) {
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Newest { style, what, .. }) = &*newest {
        bar.set_style(style.clone());
        bar.set_message(*what);
    }
}
