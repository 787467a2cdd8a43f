//! Arguments of `run --parallel`.

use std::path::PathBuf;

use clap::Args;

/// A file of prompts, answered at once.
#[derive(Args, Clone, Debug)]
pub struct ParallelArgs {
    /// Answer the prompts of this file, many at once: a JSON object a line, with `prompt` or
    /// `messages`, and what differs from the options. The answers are JSON lines too, in the order
    /// in which they end. `-` is stdin.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "words", "prompt", "file", "save", "force", "resume", "context_shift", "spill_dir"
        ]
    )]
    pub parallel: Option<PathBuf>,
    /// Append the answers to this file. What it answers already is left out: after a stop, the same
    /// command goes on.
    #[arg(short, long, value_name = "FILE", requires = "parallel")]
    pub output: Option<PathBuf>,
    /// Prompts that are answered at once, at most [default: 32 on GPUs, 16 on CPUs].
    #[arg(long, value_name = "N", requires = "parallel")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub at_once: Option<u32>,
    /// Always use the same kernels: an answer is the same, to the last bit, whatever other prompts
    /// are answered with it. Slower.
    #[arg(long, requires = "parallel")]
    pub deterministic: bool,
}

impl ParallelArgs {
    /// An option that says nothing without `--parallel`. Clap does not check it where `--prompt` is
    /// given, which `--parallel` conflicts with.
    pub fn lone_option(&self) -> Option<&'static str> {
        let options = [
            ("--output", self.output.is_some()),
            ("--at-once", self.at_once.is_some()),
            ("--deterministic", self.deterministic),
        ];
        let given = options.iter().find(|(_, is_given)| *is_given);
        given
            .filter(|_| self.parallel.is_none())
            .map(|(name, _)| *name)
    }
}
