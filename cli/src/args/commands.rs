//! The arguments of each command.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use godwit::ContextSize;
use godwit::low_level::Synthetic;
use godwit::quantize::{Mix, Override};

use crate::candidates;

use super::{
    CONTEXT, Common, FileArgs, KvArgs, MODEL, ModelArgs, ModelFile, ModelSource, Plain, QuantArgs,
    RopeArgs, mix, tokens, whole,
};

#[derive(Args, Debug)]
#[command(mut_arg("model", |arg| {
    arg.required_unless_present_any(["synthetic", "wgsl", "named", "hf"])
}))]
pub struct InspectArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub files: FileArgs,
    /// Instead of a model, show the composed WGSL of a compute kernel.
    ///
    /// Without a variant, of the first. Another name lists the kernels or the variants.
    #[arg(long, value_name = "KERNEL[.VARIANT]")]
    #[arg(conflicts_with_all = ["model", "synthetic", "named", "hf"])]
    #[arg(help_heading = "Kernels")]
    pub wgsl: Option<String>,
    /// Weight format for --wgsl [default: Q4_K, for kernels with weights].
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "wgsl",
        help_heading = "Kernels"
    )]
    pub format: Option<String>,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    #[command(flatten)]
    pub source: ModelFile,
    #[command(flatten)]
    pub files: FileArgs,
    /// The text. Without -p and -f it is read from stdin.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// File that holds the text; `-` is stdin.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read control tokens such as <|im_end|> in the text as what they stand for.
    #[arg(long)]
    pub special: bool,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Model to check against the GPU's memory: GGUF file, folder of a model with safetensors, or
    /// name.
    #[arg(add = ArgValueCompleter::new(candidates::model))]
    pub model: Option<PathBuf>,
    /// How its weights would be quantised, such as q4_k_m [default: as they are].
    #[arg(long, value_name = "TYPE", conflicts_with = "synthetic", value_parser = mix())]
    #[arg(hide_possible_values = true)]
    #[arg(help_heading = MODEL)]
    pub quant: Option<Mix>,
    /// Instead of a file, the shape of a model, such as llama3-8b:q4_k.
    #[arg(long, value_name = "SHAPE", conflicts_with = "model", help_heading = MODEL)]
    pub synthetic: Option<Synthetic>,
    /// Context to check, in tokens [default: powers of two up to the model's window].
    #[arg(short, long, value_name = "TOKENS", alias = "ctx-size", help_heading = CONTEXT)]
    pub context: Option<ContextSize>,
    #[command(flatten)]
    pub rope: RopeArgs,
    /// Download the model without asking, where MODEL is the name of one that is not here.
    #[arg(short, long, help_heading = MODEL)]
    pub yes: bool,
    #[command(flatten)]
    pub kv: KvArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
#[command(mut_arg("model", |arg| {
    arg.required_unless_present_any(["synthetic", "compare", "named", "hf"])
}))]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompt lengths for prefill, in tokens.
    #[arg(
        short,
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "512"
    )]
    #[arg(value_parser = tokens)]
    pub prompt: Vec<u32>,
    /// Tokens to decode, for each test.
    #[arg(
        short = 'n',
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "128"
    )]
    #[arg(value_parser = whole::<u32>)]
    pub tokens: Vec<u32>,
    /// Tokens already in the context.
    #[arg(
        short,
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "0"
    )]
    #[arg(value_parser = tokens)]
    pub depth: Vec<u32>,
    /// Decode so many sequences at once instead, each with the tokens of --depth before: the
    /// tokens/s of all together. Runs neither --prompt nor single sequences.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64), conflicts_with = "prompt")]
    pub rows: Vec<u32>,
    /// Compute the tokens already in the context; otherwise noise stands for them where they are
    /// more than 4,096.
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
    #[arg(conflicts_with_all = ["model", "synthetic", "named", "hf"])]
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
    /// Replace the output file if it exists; never a file that is read, a link or a device.
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
    /// The text; `-` is stdin.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Tokens of a chunk.
    #[arg(
        short,
        long,
        value_name = "CHUNK",
        alias = "ctx-size",
        default_value = "512"
    )]
    #[arg(value_parser = tokens)]
    pub context: u32,
    /// Chunks at most [default: all].
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub chunks: Option<usize>,
    #[command(flatten)]
    pub kv: KvArgs,
}

#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// GGUF file (of a split model, the first part), folder of a model with safetensors, or name.
    #[arg(add = ArgValueCompleter::new(candidates::model))]
    pub model: PathBuf,
    /// The GGUF file to write.
    pub output: PathBuf,
    /// What to quantise to: q4_k_m suits most.
    #[arg(short, long = "type", value_name = "TYPE", value_parser = mix())]
    pub mix: Mix,
    /// Another format for the tensors whose names match. May be repeated; the first that matches
    /// counts.
    #[arg(long = "tensor", value_name = "REGEX=FORMAT")]
    pub overrides: Vec<Override>,
    /// Importance matrix, as `godwit imatrix` and llama.cpp's llama-imatrix write it: which
    /// columns' errors count most.
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// Download the model without asking, where MODEL is the name of one that is not here.
    #[arg(short, long)]
    pub yes: bool,
    /// Replace the output file if it exists; never a file that is read, a link or a device.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub files: FileArgs,
    #[command(flatten)]
    pub plain: Plain,
}
