//! The command line: what clap parses, and what help says.

mod answers;
mod commands;
#[cfg(test)]
mod help_tests;
mod hub;
mod llama_cpp;
mod model;
mod parallel;
mod sampling;
mod settings;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use godwit::Access;
use godwit::{Backend, GpuOptions};

pub use answers::*;
pub use commands::*;
pub use hub::*;
pub use llama_cpp::*;
pub use model::*;
pub use parallel::*;
pub use sampling::*;
pub use settings::{Refusal, foreign, parse};
use values::{bytes, milliseconds, one_of, usual, whole};

/// Run Llama-family language models on your GPU
#[derive(Debug, Parser)]
#[command(
    name = "godwit",
    version,
    arg_required_else_help = true,
    after_help = START,
    after_long_help = format!("{START}\n\n{SETTINGS}\n\n{EXIT_CODES}")
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Read defaults of flags from this TOML file
    ///
    /// A key for each flag, such as `context = "8k"`; keys in a table such as `[run]` are for one
    /// command. An empty name reads no file [default: godwit/config.toml in the user's
    /// configuration folder].
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub config: Option<OsString>,
}

/// The first steps, for the short help.
const START: &str = "\
To begin:
  godwit list --known          good models, and their short names
  godwit chat llama3.2-1b      download one, and talk to it
  godwit COMMAND -h            the most used flags of a command; --help has all of them";

/// How flags get their defaults.
const SETTINGS: &str = "\
Settings:
  Each flag has a variable: --gpu-memory is GODWIT_GPU_MEMORY for all commands, and
  GODWIT_RUN_GPU_MEMORY for `run`. Each has a key in the file of --config: gpu-memory.
  The command line comes first, then variables, then the file.";

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the command failed, or an output can't be written
  2    the command line, a variable or the configuration makes no sense
  3    the model or another input file can't be used
  4    no GPU, or not enough of it
  5    the prompt does not fit the context
  101  a bug in Godwit
  130  stopped by Ctrl-C
  143  stopped by SIGTERM; 129: the terminal was closed. What --save names is written first";

impl Cli {
    /// The command line, whose options take negative numbers for values: what is wrong with `-1` is
    /// said by the option, not by a search for an option called `-1`.
    pub fn tolerant() -> clap::Command {
        let tolerant = |arg: clap::Arg| match arg.get_action().takes_values() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        };
        Self::command().mut_subcommands(|command| command.mut_args(tolerant))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer one prompt and exit
    #[command(after_help = "Examples:
  godwit run model.gguf 'Why is the sky blue?'
  git diff | godwit run model.gguf --system 'Write a commit message.'
  godwit run model.gguf -f book.txt -p 'Who is the narrator?' --save book.kv
  godwit run model.gguf --resume book.kv -p 'And where does she live?'
  godwit run model.gguf --resume book.kv          goes on with the reply
  godwit run model.gguf --raw -p 'Once upon a time' -n 64 --temp 0 --json
  godwit run model.gguf --parallel prompts.jsonl -o answers.jsonl")]
    Run(RunArgs),
    /// Chat with a model in the terminal
    Chat(ChatArgs),
    /// Show what is in a model file: hyperparameters, metadata, tensors
    ///
    /// Reads models of every architecture, also those that Godwit does not run.
    #[command(after_help = "Examples:
  godwit inspect model.gguf
  godwit inspect --wgsl matmul.gemv --format Q8_0")]
    Inspect(InspectArgs),
    /// Show the tokens of a text
    Tokenize(TokenizeArgs),
    /// Show the GPUs, and whether a model fits
    ///
    /// The exit code is 4 where the model, with the context that is asked for, does not fit. -v
    /// shows limits, features and kernel variants.
    Doctor(DoctorArgs),
    /// Measure prefill and decode speed
    Bench(BenchArgs),
    /// Measure how well a model predicts a text
    ///
    /// Lower is better. The second half of each chunk counts.
    Perplexity(PerplexityArgs),
    /// Write a model as a GGUF file with smaller weights
    #[command(after_help = "Examples:
  godwit quantize Llama-3-8B-Instruct model.gguf --type q4_k_m
  godwit quantize big.gguf small.gguf --type q4_k_s --tensor attn_v=q8_0 \\
      --tensor 'blk\\.[01]\\.=q6_k'")]
    Quantize(QuantizeArgs),
    /// Measure an importance matrix on a text, for `quantize --imatrix`
    #[command(after_help = "Example:
  godwit imatrix Llama-3-8B-Instruct -f text.txt -o imatrix.gguf
  godwit quantize Llama-3-8B-Instruct model.gguf --type q4_k_m --imatrix imatrix.gguf")]
    Imatrix(ImatrixArgs),
    /// Download a model by its name, and print where it is
    #[command(after_help = "Examples:
  godwit pull llama3.2-1b
  godwit pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0
  godwit pull gradientai/Llama-3-8B-Instruct-Gradient-1048k@main

Variables: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE")]
    Pull(PullArgs),
    /// List the models that are downloaded, or good ones that could be
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show which models a name offers, and which one it means
    Show(ShowArgs),
    /// Remove a downloaded model
    Rm(RmArgs),
    /// List or clear what prompts, quantised weights and GPU tuning take on the disk
    Cache(CacheArgs),
    /// Print a shell completion script
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page of a command, or write those of all commands
    Man {
        /// The command [default: the page of godwit itself].
        command: Option<String>,
        /// Write a page for each command into this folder, instead of printing one.
        #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
}

/// The options of every command that opens a GPU.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// GPU to use: part of its name, or its number in `godwit doctor` [default: the fastest kind].
    #[arg(long, value_name = "NAME", help_heading = GPU)]
    pub adapter: Option<String>,
    /// Interface to use [default: the system's own].
    #[arg(long, value_name = "NAME", help_heading = GPU)]
    #[arg(value_parser = usual::<Backend>(&["vulkan", "metal", "dx12", "gl"]))]
    #[arg(hide_short_help = true)]
    pub backend: Option<Backend>,
    /// Use no more than every browser allows: the WebGPU default limits, no optional features.
    #[arg(long, help_heading = GPU, hide_short_help = true)]
    pub webgpu_limits: bool,
    /// Use no storage binding larger than this, as on a smaller device. For tests.
    #[arg(long, value_name = "BYTES", value_parser = bytes, hide = true)]
    pub max_binding: Option<u64>,
    /// GPU memory to take at most, such as 6G or 500M [default: what there is].
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = GPU)]
    pub gpu_memory: Option<u64>,
    /// Milliseconds that one submission to the GPU may take, about: less keeps a desktop on the
    /// same GPU smoother [default: 100].
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    #[arg(help_heading = GPU, hide_short_help = true)]
    pub submit_budget: Option<u64>,
    /// Use what suits most GPUs, instead of measuring once what suits this one.
    #[arg(long, help_heading = GPU, hide_short_help = true)]
    pub no_tune: bool,
    /// Read the model's files piece by piece, instead of mapping them: for network drives, and for
    /// files that may be cut short while they are read.
    #[arg(long, help_heading = MODEL, hide_short_help = true)]
    pub no_mmap: bool,
    /// Say more on stderr; -vv adds lines for those who debug Godwit.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Headings of the help.
const MODEL: &str = "Model";
const GPU: &str = "GPU";

impl Common {
    /// How the model's files are read.
    pub fn access(&self) -> Access {
        if self.no_mmap {
            Access::Plain
        } else {
            Access::Mapped
        }
    }

    pub fn gpu(&self) -> GpuOptions {
        GpuOptions::default()
            .adapter(self.adapter.clone())
            .backend(self.backend)
            .webgpu_limits(self.webgpu_limits)
            .memory(self.gpu_memory)
            .max_binding(self.max_binding)
            .tuning(None)
            .submit_budget(self.submit_budget.map(Duration::from_millis))
    }
}

impl Command {
    /// Puts the model that llama.cpp's options name where the model is expected.
    ///
    /// # Errors
    /// Two models are given.
    fn settle(&mut self) -> Result<(), String> {
        let rest = match self {
            Command::Run(a) => {
                // The place of the model is that of the prompt then.
                let word = a.model.source.file.settle();
                a.words.splice(0..0, word);
                a.saved.settle();
                None
            }
            Command::Chat(a) => {
                a.saved.settle();
                a.model.source.file.settle()
            }
            Command::Inspect(a) => a.source.file.settle(),
            Command::Tokenize(a) => a.source.settle(),
            Command::Bench(a) => a.model.source.file.settle(),
            Command::Perplexity(a) => a.text.source.file.settle(),
            Command::Imatrix(a) => a.text.source.file.settle(),
            _ => None,
        };
        match rest {
            None => Ok(()),
            Some(model) => Err(format!("`{model}` is a second model; give one of them")),
        }
    }

    /// The options that all commands share.
    pub fn common(&self) -> Common {
        match self {
            Command::Run(a) => a.common.clone(),
            Command::Chat(a) => a.common.clone(),
            Command::Inspect(a) => a.plain.common(),
            Command::Tokenize(a) => a.plain.common(),
            Command::Doctor(a) => a.common.clone(),
            Command::Bench(a) => a.common.clone(),
            Command::Perplexity(a) => a.common.clone(),
            Command::Quantize(a) => a.plain.common(),
            Command::Imatrix(a) => a.common.clone(),
            Command::Pull(a) => a.plain.common(),
            Command::List(a) => a.plain.common(),
            Command::Show(a) => a.plain.common(),
            Command::Rm(a) => a.plain.common(),
            Command::Cache(a) => a.plain.common(),
            Command::Completions { .. } | Command::Man { .. } => Common::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
        Cli::tolerant().debug_assert();
    }

    /// Parses a command line as it is typed.
    fn typed(line: &str) -> Result<Cli, String> {
        let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        parse(&args, &|_| None).map_err(|refusal| match refusal {
            Refusal::Clap(error) => error.to_string(),
            Refusal::Setting(error) => error.to_string(),
        })
    }

    /// Every option of every command, with a negative number for its value.
    #[test]
    fn negative_numbers_are_values() {
        let mut count = 0;
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|_| arg.get_action().takes_values()) else {
                    continue;
                };
                let number = if arg.get_num_args().is_some_and(|n| n.min_values() == 2) {
                    "-1 -1"
                } else {
                    "-1"
                };
                let model = match command.get_positionals().next() {
                    Some(_) => "m.gguf ",
                    None => "",
                };
                let line = format!("godwit {} {model}--{long} {number}", command.get_name());
                let Err(error) = typed(&line) else { continue };
                assert!(
                    !error.contains("unexpected argument") && !error.contains("invalid digit"),
                    "{line}: {error}"
                );
                count += 1;
            }
        }
        assert!(count > 20, "{count} options refuse a negative number");
    }

    #[test]
    fn what_llama_cpp_calls_it_is_understood() {
        let run = |line: &str| match typed(line).expect(line).command {
            Command::Run(args) => args,
            other => unreachable!("{other:?}"),
        };
        let args = run(
            "godwit run -m m.gguf -c 4k -ngl 99 -t 8 --repeat-penalty 1.1 --temperature 0 -e hello \
             world",
        );
        assert_eq!(args.model.source.file.model, Some("m.gguf".into()));
        assert_eq!(args.words, ["hello", "world"]);
        assert!(args.escape && args.model.context.is_some());
        assert_eq!(
            (args.sampling.repetition_penalty, args.sampling.temp),
            (Some(1.1), Some(0.0))
        );
        let args = run("godwit run -hf a/b:Q8_0 --ctx-size 2048 --n-predict 5 -p x");
        assert_eq!(args.model.source.file.model, Some("hf.co/a/b:Q8_0".into()));
        assert_eq!((args.words.len(), args.most()), (0, 5));
        assert_eq!(run("godwit run m -n -1 x").most(), usize::MAX);
        assert_eq!(run("godwit run m x").most(), usize::MAX);
        assert_eq!(run("godwit run m --raw x").most(), 256);
        for line in [
            "godwit run m -n -2 x",
            "godwit chat m -m n",
            "godwit run m -p x y",
            "godwit run",
        ] {
            assert!(typed(line).is_err(), "{line}");
        }
    }
}
