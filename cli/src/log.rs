//! Messages on stderr: warnings, and with -v and -vv more details.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{escape, output, screen};

/// Writes events to stderr from now on: Godwit's own warnings; with `verbose` 1 its notices too,
/// with 2 all of its events. The variable RUST_LOG, as the crate `env_logger` has it, takes the
/// place of that, and shows wgpu's events.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let own = ["godwit", "godwit_cli", "godwit_shaders"].map(|target| (target, level));
    let asked = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok());
    let targets = asked.unwrap_or_else(|| Targets::new().with_targets(own));
    let is_colourful = screen::is_colourful(output::is_stderr_terminal());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(output::stderr)
        .with_ansi(is_colourful)
        .event_format(Plain);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}

/// `warning: what happened`, as compilers write it.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", 31),
            Level::WARN => ("warning", 33),
            Level::INFO => ("info", 32),
            Level::DEBUG => ("debug", 34),
            _ => ("trace", 35),
        };
        match out.has_ansi_escapes() {
            true => write!(out, "\x1b[{colour}m{name}\x1b[0m: ")?,
            false => write!(out, "{name}: ")?,
        }
        // Not with the crate's own formatter, which has another form for some control characters.
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(out, "{}", escape::message(&fields.text))
    }
}

/// The message of an event, and the fields that follow it.
#[derive(Default)]
struct Fields {
    text: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        // Writing to a String doesn't fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.text, "{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is said of an event, as it reaches a terminal.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the lines").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn control_characters_have_one_form() {
        let (lines, evil) = (Lines::default(), "a\u{1b}[2J\u{9b}\u{7}\u{202e}");
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(layer.event_format(Plain));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!("{evil}");
            tracing::info!(name = %evil, count = 3, "of {evil}");
        });
        let said = String::from_utf8(lines.0.lock().expect("the lines").clone()).expect("UTF-8");
        let shown = r"a\u{1b}[2J\u{9b}\u{7}\u{202e}";
        assert_eq!(
            said,
            format!("warning: {shown}\ninfo: of {shown} name={shown} count=3\n")
        );
    }
}
