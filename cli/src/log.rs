//! What is said on stderr besides results: warnings, and with -v and -vv more of what happens.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{escape, output};

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
    let is_colourful = output::is_stderr_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
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
        context: &FmtContext<'_, S, N>,
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
        // Without colours, so that what is cleaned are the fields alone.
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        writeln!(out, "{}", escape::message(&fields))
    }
}
