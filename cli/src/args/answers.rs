//! Arguments of `run` and `chat`.

use std::path::PathBuf;

use clap::Args;
use godwit::prefix_cache::BLOCK;

use super::{
    CONTEXT, Common, IgnoredArgs, ModelArgs, ParallelArgs, SamplingArgs, SpeculationArgs, bytes,
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
