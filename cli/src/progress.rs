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
        self.bar.set_length(now.total);
        if !self.is_shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(target());
        }
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
struct Compiling {
    begin: Instant,
    /// The bar that says so. Without one of the work that waits for the kernels, one of its own.
    bar: Option<Bar>,
    borrowed: Option<ProgressBar>,
}

static COMPILATION: Mutex<Option<Compiling>> = Mutex::new(None);

/// Shows how many kernels of a plan are compiled, in the place of the bar of the work that waits
/// for them. A driver that has them in its cache is done before that.
pub fn compiling(now: Progress) {
    let mut compilation = COMPILATION.lock().unwrap_or_else(PoisonError::into_inner);
    if now.done >= now.total {
        if let Some(bar) = compilation.take().and_then(|done| done.borrowed) {
            restore(&bar);
        }
        return;
    }
    let compiling = compilation.get_or_insert_with(|| Compiling {
        begin: Instant::now(),
        bar: None,
        borrowed: None,
    });
    if compiling.begin.elapsed() < PATIENCE {
        return;
    }
    let text = format!("{COMPILING}: {} of {}", now.done, now.total);
    if compiling.bar.is_none() && compiling.borrowed.is_none() {
        compiling.borrowed = newest().filter(|bar| !bar.is_finished() && !bar.is_hidden());
        match &compiling.borrowed {
            Some(bar) => bar.set_style(style("{msg}")),
            None => compiling.bar = Some(own()),
        }
    }
    let own = compiling.bar.as_deref();
    if let Some(bar) = own.or(compiling.borrowed.as_ref()) {
        bar.set_message(text);
    }
}

fn newest() -> Option<ProgressBar> {
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    newest.as_ref()?.bar.upgrade()
}

/// A bar for kernels that no other work's bar waits for.
fn own() -> Bar {
    let bar = plain_bar(COMPILING, "", target());
    bar.set_style(style("{msg}"));
    Bar {
        bar,
        is_shown: AtomicBool::new(true),
    }
}

/// Gives a bar back to its work.
fn restore(bar: &ProgressBar) {
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Newest { style, what, .. }) = &*newest {
        bar.set_style(style.clone());
        bar.set_message(*what);
    }
}
