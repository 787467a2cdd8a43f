//! Arguments of `run --parallel`.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

/// A file of prompts, answered at once.
#[derive(Args, Clone, Debug)]
pub struct ParallelArgs {
    /// Answer the prompts of this file of JSON lines, many at once; `-` is stdin.
    ///
    /// Each line is an object with `prompt` or `messages`, and what differs from the options. The
    /// answers are JSON lines too, in the order in which they end.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "words", "prompt", "file", "save", "force", "resume", "context_shift", "spill_dir"
        ]
    )]
    #[arg(help_heading = "Many prompts at once")]
    pub parallel: Option<PathBuf>,
    /// Append the answers to this file.
    ///
    /// What it answers already is left out: after a stop, the same command goes on.
    #[arg(short, long, value_name = "FILE", requires = "parallel")]
    #[arg(help_heading = "Many prompts at once")]
    pub output: Option<PathBuf>,
    /// Prompts that are answered at once, at most [default: 32 on GPUs, 16 on CPUs].
    #[arg(long, value_name = "N", requires = "parallel", hide_short_help = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    #[arg(help_heading = "Many prompts at once")]
    pub at_once: Option<u32>,
    /// Always use the same kernels: an answer is the same, to the last bit, whatever other prompts
    /// are answered with it. Slower.
    #[arg(long, requires = "parallel", hide_short_help = true)]
    #[arg(help_heading = "Many prompts at once")]
    pub deterministic: bool,
}

impl ParallelArgs {
    /// A flag on the command line that says nothing without `--parallel`. Clap does not check it
    /// where `--prompt` is given, which `--parallel` conflicts with.
    pub fn lone_option(matches: &ArgMatches) -> Option<&'static str> {
        let is_given = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let options = [
            ("output", "--output"),
            ("at_once", "--at-once"),
            ("deterministic", "--deterministic"),
        ];
        let given = options.into_iter().find(|(id, _)| is_given(id));
        given
            .filter(|_| !matches.contains_id("parallel"))
            .map(|(_, name)| name)
    }
}
