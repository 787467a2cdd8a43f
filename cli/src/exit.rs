//! How the program ends: exit codes, and what is said about failures.

use std::ffi::OsString;
use std::process::ExitCode;

use godwit::Error;
use godwit::errors::{ChatError, SnapshotError};
use godwit_hub::HubError;

use crate::output::{self, note, shown};
use crate::{stop, terminal};

/// Ctrl-C or a termination signal, before anything that could be called a result.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Interrupted;

/// Messages of a chat that were not answered. The reason of each was printed when it occurred.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the messages were not answered")]
pub struct Unanswered(pub usize);

/// A text file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {cause}")]
pub struct BadInput {
    /// The file, or `stdin`.
    pub file: String,
    /// The cause.
    pub cause: String,
}

/// A file that can't be written, or is not to be replaced.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {cause}")]
pub struct Unwritable {
    /// The file.
    pub file: String,
    /// What is wrong with it, and what to do.
    pub cause: String,
}

/// An order that can't be followed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// A prompt that the context has no room for.
#[derive(Debug, thiserror::Error)]
#[error("The prompt has {tokens} tokens; the context holds {context}. {}", self.remedy())]
pub struct PromptTooLong {
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Tokens that the context holds.
    pub context: u32,
    /// Tokens that the model can attend to.
    pub window: u32,
}

/// The error of a prompt in the terms of the command line. `window`: the model's.
pub fn prompt_error(error: Error, window: u32) -> anyhow::Error {
    match error {
        Error::ContextFull {
            tokens,
            used,
            context,
        } => PromptTooLong {
            tokens: used + tokens,
            context,
            window,
        }
        .into(),
        error => error.into(),
    }
}

impl PromptTooLong {
    fn remedy(&self) -> String {
        if self.context < self.window {
            "Raise --context.".into()
        } else {
            format!(
                "Shorten the prompt: {} tokens are the model's window.",
                self.window
            )
        }
    }
}

/// A model that the GPU has no room for.
#[derive(Debug, thiserror::Error)]
#[error(
    "{model} does not fit with a context of {context} tokens: it {needs}; try a smaller --context \
     or another --kv"
)]
pub struct DoesNotFit {
    /// The model's name.
    pub model: String,
    /// The context that was looked at, in tokens.
    pub context: u32,
    /// The two amounts of memory, in words.
    pub needs: String,
}

/// Prints help, or what is wrong with the command line.
pub fn usage(error: &clap::Error) -> ExitCode {
    let has_control = |arg: OsString| *arg.to_string_lossy() != *shown(&arg.to_string_lossy());
    if std::env::args_os().any(has_control) {
        // Without colours, so that what is cleaned is the text alone.
        let text = error.render().to_string();
        note(text.trim_end());
    } else {
        // Where nobody reads it, nothing is lost.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Reports a failure on stderr; the exit code is documented in `--help`.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    output::clear_bar();
    terminal::restore();
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if is_broken_pipe(&error) {
        // The reader of our output has closed it, as `head` does. That is no failure.
        return ExitCode::SUCCESS;
    }
    let code = code(&error);
    if !is_stopped(&error) {
        note(&format!("error: {error:#}"));
    }
    ExitCode::from(code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter()
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether Ctrl-C or a termination signal is why.
fn is_stopped(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>()
        || matches!(error.downcast_ref(), Some(Error::Stopped))
        || matches!(error.downcast_ref(), Some(HubError::Stopped))
}

fn code(error: &anyhow::Error) -> u8 {
    if is_stopped(error) {
        return stop::exit_code();
    }
    if error.is::<Unwritable>() {
        return 1;
    }
    if error.is::<Usage>() {
        return 2;
    }
    if error.is::<PromptTooLong>() {
        return 5;
    }
    if error.is::<DoesNotFit>() {
        return 4;
    }
    if error.is::<BadInput>() {
        return 3;
    }
    if error.is::<godwit::GpuError>() {
        return 4;
    }
    if error.is::<ChatError>() {
        return 3;
    }
    if let Some(error) = error.downcast_ref::<HubError>() {
        return hub_code(error);
    }
    match error.downcast_ref::<Error>() {
        Some(Error::Gpu(_)) => 4,
        Some(Error::ContextFull { .. }) => 5,
        Some(
            Error::Snapshot(SnapshotError::Read(_))
            | Error::File(_)
            | Error::Write(_)
            | Error::Spill(_),
        ) => 1,
        Some(Error::Sampling(_) | Error::Window { .. }) => 2,
        Some(_) => 3,
        None => 1,
    }
}

/// The exit code of an error of the hub's client.
fn hub_code(error: &HubError) -> u8 {
    match error {
        HubError::Name { .. } | HubError::Setting { .. } => 2,
        HubError::Network { .. }
        | HubError::Unreachable { .. }
        | HubError::Space { .. }
        | HubError::Io { .. }
        | HubError::InUse(_)
        | HubError::Folder(_) => 1,
        HubError::NoFile { cause, .. } => hub_code(cause),
        HubError::Stopped => stop::exit_code(),
        _ => 3,
    }
}

/// A library's error as the command reports it: being stopped is what Ctrl-C asked for.
pub fn stopped(error: Error) -> anyhow::Error {
    if error == Error::Stopped {
        Interrupted.into()
    } else {
        error.into()
    }
}

/// [`stopped`], for an error that may be the command's own.
pub fn ended(error: anyhow::Error) -> anyhow::Error {
    match error.downcast() {
        Ok(error) => stopped(error),
        Err(error) => error,
    }
}
