//! The command line: what clap parses, and what help says.

use std::path::PathBuf;
use std::time::Duration;

use crate::hub::args::{ListArgs, PullArgs, RmArgs, ShowArgs};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use godwit::quantize::{Mix, Override};
use godwit::{Backend, ContextSize, GpuOptions, KvFormat, RopeOverride, RopeStretch, Sampling, Synthetic};

/// Runs Llama-architecture language models on any GPU.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, about, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the command failed
  2    the command line makes no sense
  3    the model or another input file can't be used
  4    no GPU, or not enough of it
  5    the prompt does not fit the context
  130  stopped by Ctrl-C";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers one prompt and ends.
    #[command(after_help = "Examples:
  godwit run model.gguf -p 'Why is the sky blue?'
  git diff | godwit run model.gguf --system 'Write a commit message.'
  godwit run model.gguf -f book.txt -p 'Who is the narrator?' --save book.kv
  godwit run model.gguf --resume book.kv -p 'And where does she live?'
  godwit run model.gguf --raw -p 'Once upon a time' -n 64 --temp 0 --json")]
    Run(RunArgs),
    /// Talks: a conversation on the terminal.
    Chat(ChatArgs),
    /// Shows what is in a model file: hyperparameters, metadata, tensors.
    Inspect(InspectArgs),
    /// Shows the tokens of a text.
    Tokenize(TokenizeArgs),
    /// Shows the GPUs, what they can do, and whether a model fits.
    Doctor(DoctorArgs),
    /// Measures prefill and decode speed.
    Bench(BenchArgs),
    /// Measures how well the model predicts a text: lower is better. The second half of each chunk counts.
    Perplexity(PerplexityArgs),
    /// Writes a model as a GGUF file with smaller weights.
    #[command(after_help = "Examples:
  godwit quantize Llama-3-8B-Instruct model.gguf --type q4_k_m
  godwit quantize big.gguf small.gguf --type q4_k_s --tensor attn_v=q8_0 --tensor 'blk\\.[01]\\.=q6_k'")]
    Quantize(QuantizeArgs),
    /// Measures on a text which inputs of each matrix are large, for `godwit quantize --imatrix`.
    #[command(after_help = "Example:
  godwit imatrix Llama-3-8B-Instruct -f text.txt -o imatrix.gguf
  godwit quantize Llama-3-8B-Instruct model.gguf --type q4_k_m --imatrix imatrix.gguf")]
    Imatrix(ImatrixArgs),
    /// Downloads a model by its name, and prints where it is.
    #[command(after_help = "Examples:
  godwit pull llama3.2-1b
  godwit pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0
  godwit pull gradientai/Llama-3-8B-Instruct-Gradient-1048k@main

Variables: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE")]
    Pull(PullArgs),
    /// Shows the models that are downloaded, or good ones that could be.
    List(ListArgs),
    /// Shows which models a name offers, and which one it means.
    Show(ShowArgs),
    /// Removes a downloaded model.
    Rm(RmArgs),
    /// Prints a shell completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page, in roff.
    Man,
}

/// What every command understands.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// GPU to use: part of its name, or its number in `godwit doctor`.
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// Interface to use: vulkan, metal, dx12, gl.
    #[arg(long, value_name = "NAME")]
    pub backend: Option<Backend>,
    /// Use no more than every browser allows: the WebGPU default limits, no optional features.
    #[arg(long)]
    pub webgpu_limits: bool,
    /// GPU memory to take at most, such as 6G or 500M; the KV cache grows no further [default: what there is].
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub gpu_memory: Option<u64>,
    /// Milliseconds that one submission to the GPU may take, about: less keeps a desktop on the same GPU smoother [default: 100].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub submit_budget: Option<u64>,
    /// Use what suits most GPUs, instead of measuring once what suits this one.
    #[arg(long)]
    pub no_tune: bool,
    /// Say more on stderr; twice, even more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Common {
    pub fn gpu(&self) -> GpuOptions {
        GpuOptions {
            adapter: self.adapter.clone(),
            backend: self.backend,
            webgpu_limits: self.webgpu_limits,
            memory: self.gpu_memory,
            tuning: None,
            submit_budget: self.submit_budget.map(Duration::from_millis),
        }
    }
}

/// The model, and how much it is to hold.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub quant: QuantArgs,
    /// Tokens the context holds at most, such as 8192, 128k or 1m; max: as many as the memory has room for [default: the
    /// model's window].
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<ContextSize>,
    #[command(flatten)]
    pub kv: KvArgs,
    /// Host memory for what the GPU has no room for of the KV cache; beyond that it goes to a file.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "8G")]
    pub spill_memory: u64,
    /// Keep all of the KV cache on the GPU, and stop where it is full.
    #[arg(long)]
    pub no_spill: bool,
}

/// Where the model comes from.
#[derive(Args, Clone, Debug)]
pub struct ModelSource {
    /// GGUF file (of a split model, the first part), folder of a model with safetensors, or name as `godwit pull` has it.
    #[arg(required_unless_present = "synthetic")]
    pub model: Option<PathBuf>,
    /// Instead of a file, weights of noise in the shape of a real model, for measuring: SHAPE[:FORMAT][,KEY=N...], such as
    /// llama3-8b:q4_k.
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    pub synthetic: Option<Synthetic>,
    #[command(flatten)]
    pub rope: RopeArgs,
}

/// Weights smaller than the model's own.
#[derive(Args, Clone, Debug, Default)]
pub struct QuantArgs {
    /// Quantise the weights first: q4_0, q4_k, q5_k, q6_k, q8_0 and so on, as `godwit quantize --help` has them. The result is
    /// kept on disk for the next time.
    #[arg(long, value_name = "TYPE", conflicts_with = "synthetic")]
    pub quant: Option<Mix>,
    /// Folder for quantised weights [default: godwit in the user's cache folder].
    #[arg(long, value_name = "FOLDER", requires = "quant")]
    pub quant_dir: Option<PathBuf>,
}

/// Another rotary embedding than the file's.
#[derive(Args, Clone, Copy, Debug)]
pub struct RopeArgs {
    /// Base of the rotary frequencies, for the file's.
    #[arg(long, value_name = "THETA")]
    pub rope_theta: Option<f64>,
    /// Scaling of the rotary frequencies, for the file's: none, linear:FACTOR, llama3:FACTOR or yarn:FACTOR. The window grows
    /// by the factor.
    #[arg(long, value_name = "TYPE")]
    pub rope_scaling: Option<RopeStretch>,
    /// The model's window in tokens, for the file's.
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    pub window: Option<u32>,
}

impl RopeArgs {
    /// What is to be changed, if anything is.
    pub fn change(&self) -> Option<RopeOverride> {
        let change = RopeOverride { theta: self.rope_theta, stretch: self.rope_scaling, window: self.window };
        (change != RopeOverride::default()).then_some(change)
    }
}

/// A number of tokens: 4096, 128k, 1m.
fn tokens(text: &str) -> Result<u32, String> {
    godwit::tokens(text).ok_or_else(|| "write a number of tokens such as 4096, 128k or 1m".into())
}

/// How the KV cache is stored.
#[derive(Args, Clone, Copy, Debug)]
pub struct KvArgs {
    /// How the KV cache is stored: f32, f16, q8_0 or q4_0; KEYS/VALUES where they differ.
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub kv: KvFormat,
    /// Don't rotate keys and values before they are quantised to q8_0 or q4_0.
    #[arg(long)]
    pub no_kv_rotation: bool,
}

impl KvArgs {
    /// How the KV cache is to be stored.
    pub fn format(&self) -> KvFormat {
        KvFormat { hadamard: !self.no_kv_rotation, ..self.kv }
    }
}

/// How tokens are chosen. What is not given, the model's defaults decide.
#[derive(Args, Clone, Debug, Default)]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most likely token.
    #[arg(long, value_name = "T")]
    pub temp: Option<f32>,
    /// Only the K most likely tokens; 0: all.
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Only the most likely tokens that make up this share.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Only tokens at least this fraction as likely as the best.
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Penalty on tokens seen lately; 1: none.
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    /// Penalty once for each token seen lately; 0: none.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub presence_penalty: Option<f32>,
    /// Penalty for each time a token was seen lately; 0: none.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f32>,
    /// Added to a token's logit, `ID=BIAS`; -inf forbids it. May be repeated.
    #[arg(long, value_name = "ID=BIAS", value_parser = logit_bias)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Start of the random numbers: the same seed gives the same text [default: from the clock].
    #[arg(long)]
    pub seed: Option<u64>,
}

impl SamplingArgs {
    /// The parameters, on top of the model's defaults.
    pub fn over(&self, defaults: Sampling) -> Sampling {
        let clock =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
        Sampling {
            temperature: self.temp.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            penalty_window: defaults.penalty_window,
            logit_bias: self.logit_bias.clone(),
            seed: self.seed.unwrap_or_else(clock),
        }
    }
}

/// A number of bytes: 123, 4K, 5M, 6G, 7T in powers of 1024, with or without `B` or `iB`.
fn bytes(text: &str) -> Result<u64, String> {
    let number = text.trim().trim_end_matches(['B', 'b']).trim_end_matches('i');
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match number[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("write a number of bytes such as 500M or 6G".into()),
    };
    let value: f64 = digits.trim().parse().map_err(|_| format!("`{digits}` is no number"))?;
    let bytes = value * (1_u64 << shift) as f64;
    if (0.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(format!("`{text}` is no amount of memory")) }
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let (id, bias) = text.split_once('=').ok_or("write ID=BIAS, such as 13=-1.5")?;
    let id = id.trim().parse().map_err(|_| format!("`{id}` is no token id"))?;
    let bias = bias.trim().parse().map_err(|_| format!("`{bias}` is no number"))?;
    Ok((id, bias))
}

/// Contexts on disk.
#[derive(Args, Clone, Debug)]
pub struct SavedArgs {
    /// Save the context to this file at the end; what was there is replaced.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Go on from a context that --save wrote.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Folder for the beginnings of prompts over 4,096 tokens, which are then never computed twice [default: godwit in the
    /// user's cache folder].
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    pub cache_dir: Option<PathBuf>,
    /// Disk space for it; what was not used for the longest time goes first.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "16G")]
    pub cache_size: u64,
    /// Keep no prompts on disk.
    #[arg(long)]
    pub no_cache: bool,
    /// Where the context is full, go on by forgetting the older half of it.
    #[arg(long)]
    pub context_shift: bool,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The prompt. Without -p and -f it is read from stdin.
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// File that holds the prompt; with -p, a text that the prompt is about.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Tokens to generate at most.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 256)]
    pub tokens: usize,
    /// System message.
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Continue the prompt as it is, without the chat template.
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub saved: SavedArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens of an answer at most.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2048)]
    pub tokens: usize,
    /// System message.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    #[command(flatten)]
    pub saved: SavedArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    #[command(flatten)]
    pub source: ModelSource,
    /// The text. Without -p and -f it is read from stdin.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// File that holds the text.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read control tokens such as <|im_end|> in the text as what they stand for.
    #[arg(long)]
    pub special: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Model to check against the GPU's memory: GGUF file, folder of a model with safetensors, or name.
    pub model: Option<PathBuf>,
    /// How its weights would be quantised, such as q4_k.
    #[arg(long, value_name = "TYPE", conflicts_with = "synthetic")]
    pub quant: Option<Mix>,
    /// Instead of a file, the shape of a model, such as llama3-8b:q4_k.
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    pub synthetic: Option<Synthetic>,
    /// Context to check, in tokens [default: powers of two up to the model's window].
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<ContextSize>,
    #[command(flatten)]
    pub rope: RopeArgs,
    #[command(flatten)]
    pub kv: KvArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
#[command(mut_arg("model", |arg| arg.required_unless_present_any(["synthetic", "compare"])))]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompt lengths for prefill, in tokens.
    #[arg(short, long, value_name = "N,…", value_delimiter = ',', default_value = "512", value_parser = tokens)]
    pub prompt: Vec<u32>,
    /// Tokens to decode.
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',', default_value = "128")]
    pub tokens: Vec<u32>,
    /// Tokens already in the context.
    #[arg(short, long, value_name = "N,…", value_delimiter = ',', default_value = "0", value_parser = tokens)]
    pub depth: Vec<u32>,
    /// Compute the tokens already in the context; otherwise noise stands for them where they are more than 4,096.
    #[arg(long)]
    pub real_depth: bool,
    /// Runs of each test, after a warm-up.
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repetitions: u32,
    /// Time every kernel, in a run of its own.
    #[arg(long)]
    pub profile: bool,
    /// Run nothing; compare two files that --json wrote.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    pub compare: Option<Vec<PathBuf>>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct PerplexityArgs {
    #[command(flatten)]
    pub text: TextArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub struct ImatrixArgs {
    #[command(flatten)]
    pub text: TextArgs,
    /// The file to write.
    #[arg(short, long, value_name = "FILE", default_value = "imatrix.gguf")]
    pub output: PathBuf,
    /// Replace the output file if it exists.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub common: Common,
}

/// A model that reads a text in chunks, each in a context of its own.
#[derive(Args, Debug)]
pub struct TextArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub quant: QuantArgs,
    /// The text.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Tokens of a chunk.
    #[arg(long, value_name = "TOKENS", default_value = "512", value_parser = tokens)]
    pub context: u32,
    /// Chunks at most [default: all].
    #[arg(long, value_name = "N")]
    pub chunks: Option<usize>,
    #[command(flatten)]
    pub kv: KvArgs,
}

#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// GGUF file (of a split model, the first part), folder of a model with safetensors, or name.
    pub model: PathBuf,
    /// The GGUF file to write.
    pub output: PathBuf,
    /// What to quantise to: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K_S, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S,
    /// Q4_K_M, Q5_K_S, Q5_K_M or Q6_K.
    #[arg(short, long = "type", value_name = "TYPE")]
    pub mix: Mix,
    /// Another format for the tensors whose names match. May be repeated; the first that matches counts.
    #[arg(long = "tensor", value_name = "REGEX=FORMAT")]
    pub overrides: Vec<Override>,
    /// Importance matrix, as `godwit imatrix` and llama.cpp's llama-imatrix write it: which columns' errors count most.
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// Replace the output file if it exists.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub common: Common,
}

impl Command {
    /// The options that all commands share.
    pub fn common(&self) -> Common {
        match self {
            Command::Run(a) => a.common.clone(),
            Command::Chat(a) => a.common.clone(),
            Command::Inspect(a) => a.common.clone(),
            Command::Tokenize(a) => a.common.clone(),
            Command::Doctor(a) => a.common.clone(),
            Command::Bench(a) => a.common.clone(),
            Command::Perplexity(a) => a.common.clone(),
            Command::Quantize(a) => a.common.clone(),
            Command::Imatrix(a) => a.common.clone(),
            Command::Pull(a) => a.plain.common(),
            Command::List(a) => a.plain.common(),
            Command::Show(a) => a.plain.common(),
            Command::Rm(a) => a.plain.common(),
            Command::Completions { .. } | Command::Man => Common::default(),
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
    }

    #[test]
    fn parses_biases() {
        assert_eq!(logit_bias("13=-1.5"), Ok((13, -1.5)));
        assert_eq!(logit_bias("7=-inf"), Ok((7, f32::NEG_INFINITY)));
        assert!(logit_bias("x=1").is_err() && logit_bias("13").is_err() && logit_bias("1=y").is_err());
    }

    #[test]
    fn parses_amounts_of_memory() {
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(bytes("1.5G"), Ok(3 << 29));
        assert_eq!(bytes("64 MiB"), Ok(64 << 20));
        assert!(["", "G", "1X", "-1", "inf", "nan", "1e30"].iter().all(|text| bytes(text).is_err()));
    }

    #[test]
    fn rope_is_changed_where_asked() {
        let cli = |args: &[&str]| Cli::try_parse_from([&["godwit", "inspect", "m.gguf"], args].concat());
        let change = |args: &[&str]| match cli(args).expect("it parses").command {
            Command::Inspect(args) => args.source.rope.change(),
            _ => None,
        };
        assert_eq!(change(&[]), None);
        let found = change(&["--rope-theta", "2.8e9", "--rope-scaling", "yarn:4", "--window", "1m"]);
        let wanted = RopeOverride { theta: Some(2.8e9), stretch: Some(RopeStretch::Yarn(4.0)), window: Some(1 << 20) };
        assert_eq!(found, Some(wanted));
        assert!(cli(&["--synthetic", "tiny"]).is_err() && cli(&["--rope-scaling", "yarn"]).is_err());
    }

    #[test]
    fn what_is_given_wins() {
        let args = SamplingArgs { temp: Some(0.0), seed: Some(3), ..SamplingArgs::default() };
        let sampling = args.over(Sampling::default());
        assert_eq!((sampling.temperature, sampling.top_p, sampling.seed), (0.0, 0.9, 3));
    }
}
