//! Progress bars.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// A bar on stderr, shown on a terminal only. It is empty until its length is known, and makes room
/// for whatever else is written to stderr.
pub fn bar(what: &'static str, counts: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    output::show_bar(&bar);
    let template = format!("{{msg}} {{bar:30}} {counts}, {{eta}} left");
    bar.set_style(
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(what);
    bar
}

/// The bar of a download.
pub fn downloading() -> ProgressBar {
    bar("downloading", "{bytes}/{total_bytes}, {bytes_per_sec}")
}
