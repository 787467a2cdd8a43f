//! The arguments of each command.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use godwit::ContextSize;
use godwit::low_level::Synthetic;
use godwit::prefix_cache::BLOCK;
use godwit::quantize::{Mix, Override};

use crate::candidates;

use super::{
    CONTEXT, Common, FileArgs, IgnoredArgs, KvArgs, MODEL, ModelArgs, ModelFile, ModelSource,
    ParallelArgs, Plain, QuantArgs, RopeArgs, SamplingArgs, SpeculationArgs, bytes, mix, tokens,
    whole,
};
use crate::paths::expanded;

/// Contexts on disk.
#[derive(Args, Clone, Debug)]
pub struct SavedArgs {
    /// Save the context to this file at the end.
    ///
    /// An earlier saved context there is replaced.
    #[arg(long, value_name = "FILE")]
    #[arg(help_heading = CONTEXT)]
    pub save: Option<PathBuf>,
    /// Let --save replace any regular file, but for the model's own.
    #[arg(long, requires = "save", hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
    pub force: bool,
    /// Go on from a snapshot of --save, or a transcript of /save in a chat.
    #[arg(long, value_name = "FILE")]
    #[arg(help_heading = CONTEXT)]
    pub resume: Option<PathBuf>,
    /// Folder for the beginnings of prompts over 4,096 tokens, which are then never computed twice
    /// [default: godwit/prompts in the user's cache folder].
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with = "no_cache",
        hide_short_help = true
    )]
    #[arg(help_heading = CONTEXT)]
    pub cache_dir: Option<PathBuf>,
    /// Disk space for it; what was not used for the longest time goes first.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "16G")]
    #[arg(hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
    pub cache_size: u64,
    /// Keep no prompts on disk.
    #[arg(long, hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
    pub no_cache: bool,
    /// Where the context is full, go on by forgetting the older half of it.
    #[arg(long)]
    #[arg(help_heading = CONTEXT)]
    pub context_shift: bool,
}

/// Few languages have fewer bytes in a token.
const LEAST_BYTES_PER_TOKEN: usize = 3;

impl SavedArgs {
    /// Expands `~`, which no shell does in `--save=~/FILE`.
    pub fn settle(&mut self) {
        for path in [&mut self.save, &mut self.resume].into_iter().flatten() {
            *path = expanded(path);
        }
    }

    /// Whether a saved context is written or read, or blocks of a prompt of so many bytes are
    /// likely to be: they belong to a model by the hash of its weights.
    /// `resumes`: a snapshot is going to be read.
    pub fn needs_hash(&self, prompt_bytes: usize, resumes: bool) -> bool {
        let has_blocks = !self.no_cache && prompt_bytes / LEAST_BYTES_PER_TOKEN > BLOCK;
        self.save.is_some() || resumes || has_blocks
    }
}

#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The prompt, in one word or several; what is piped into stdin goes before it.
    ///
    /// Without a prompt, a terminal opens a chat.
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    pub words: Vec<String>,
    /// The prompt, as a flag.
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// File that holds the prompt, or with -p a text that it is about; `-` is stdin.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read \n, \t, \", \' and \\ in the prompt of the command line as in C.
    #[arg(short, long, hide_short_help = true)]
    pub escape: bool,
    /// Maximum tokens to generate [default: to the end of the turn]
    ///
    /// -1: no limit. With --raw, which has no turns, the default is 256.
    #[arg(short = 'n', long, value_name = "N", value_parser = most_tokens)]
    #[arg(aliases = ["predict", "n-predict", "max-tokens"])]
    pub tokens: Option<usize>,
    /// System message.
    #[arg(
        long,
        value_name = "TEXT",
        alias = "system-prompt",
        conflicts_with = "raw"
    )]
    pub system: Option<String>,
    /// Continue the prompt as it is, without the chat template.
    #[arg(long, alias = "no-conversation")]
    pub raw: bool,
    /// Show the answer without colours and Markdown
    ///
    /// Lines break where the model breaks them.
    #[arg(long)]
    pub plain: bool,
    #[command(flatten)]
    pub parallel: ParallelArgs,
    #[command(flatten)]
    pub saved: SavedArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub speculation: SpeculationArgs,
    #[command(flatten)]
    pub ignored: IgnoredArgs,
    #[command(flatten)]
    pub common: Common,
}

/// Tokens that continue a raw prompt at most, where nothing else is said: it has no turn that ends.
const MOST_RAW: usize = 256;

/// A number of tokens; -1: no limit.
pub fn most_tokens(text: &str) -> Result<usize, String> {
    match text.trim() {
        "-1" => Ok(usize::MAX),
        text => whole(text).map_err(|error| format!("{error}, or -1 for no limit")),
    }
}

impl RunArgs {
    /// Tokens to generate at most.
    pub fn most(&self) -> usize {
        let most = if self.raw { MOST_RAW } else { usize::MAX };
        self.tokens.unwrap_or(most)
    }

    /// The prompt of the command line.
    pub fn typed_prompt(&self) -> Option<String> {
        let words = (!self.words.is_empty()).then(|| self.words.join(" "));
        // Where there are words, --prompt is a setting.
        let prompt = words.or_else(|| self.prompt.clone())?;
        Some(match self.escape {
            true => super::unescaped(&prompt),
            false => prompt,
        })
    }

    /// The same options for a chat.
    pub fn chat(&self) -> ChatArgs {
        ChatArgs {
            model: self.model.clone(),
            tokens: self.tokens.unwrap_or(usize::MAX),
            system: self.system.clone(),
            plain: self.plain,
            saved: self.saved.clone(),
            sampling: self.sampling.clone(),
            speculation: self.speculation.clone(),
            ignored: IgnoredArgs::default(),
            common: self.common.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Maximum tokens to generate for an answer [default: to the end of the turn]
    ///
    /// -1, the default: no limit.
    #[arg(short = 'n', long, value_name = "N", value_parser = most_tokens, default_value = "-1")]
    #[arg(hide_default_value = true)]
    #[arg(aliases = ["predict", "n-predict", "max-tokens"])]
    pub tokens: usize,
    /// System message.
    #[arg(long, value_name = "TEXT", alias = "system-prompt")]
    pub system: Option<String>,
    /// Show answers without colours and Markdown
    ///
    /// Lines break where the model breaks them.
    #[arg(long)]
    pub plain: bool,
    #[command(flatten)]
    pub saved: SavedArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub speculation: SpeculationArgs,
    #[command(flatten)]
    pub ignored: IgnoredArgs,
    #[command(flatten)]
    pub common: Common,
}

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
    #[arg(long, value_name = "KERNEL[.VARIANT]", conflicts_with_all = ["model", "synthetic", "named", "hf"])]
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
