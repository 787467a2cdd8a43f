//! The arguments of the commands about downloaded models.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use godwit::Access;

use crate::candidates;

use super::Common;

/// The options of all of them.
#[derive(Args, Clone, Debug)]
pub struct Plain {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Say more on stderr; -vv adds lines for those who debug Godwit.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Plain {
    /// As the other commands have it.
    pub fn common(&self) -> Common {
        Common {
            json: self.json,
            verbose: self.verbose,
            ..Common::default()
        }
    }
}

/// How the files of a model are read by commands that open no GPU.
#[derive(Args, Clone, Copy, Debug)]
pub struct FileArgs {
    /// Read the model's files piece by piece, instead of mapping them: for network drives, and for
    /// files that may be cut short while they are read.
    #[arg(long, help_heading = super::MODEL, hide_short_help = true)]
    pub no_mmap: bool,
}

impl FileArgs {
    /// How the model's files are read.
    pub fn access(self) -> Access {
        match self.no_mmap {
            true => Access::Plain,
            false => Access::Mapped,
        }
    }
}

#[derive(Args, Debug)]
pub struct PullArgs {
    /// OWNER/REPO[:QUANT][@REVISION] on the Hugging Face hub, its address there, or a name of
    /// `godwit list --known`.
    #[arg(add = ArgValueCompleter::new(candidates::name))]
    pub name: String,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Show good models to download instead, and their short names.
    #[arg(long)]
    pub known: bool,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct RmArgs {
    /// A name that `godwit list` shows. Without QUANT, the whole repository goes.
    #[arg(add = ArgValueCompleter::new(candidates::downloaded))]
    pub name: String,
    #[command(flatten)]
    pub plain: Plain,
}

/// A part of what Godwit keeps on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// KV caches of long prompts.
    Prompts,
    /// Weights that --quant made.
    Weights,
    /// Tuning of GPUs.
    Gpus,
    /// Hashes of model files.
    Hashes,
    /// All of them.
    All,
}

#[derive(Args, Debug)]
pub struct CacheArgs {
    /// Delete a part; downloaded models stay (`godwit rm` removes those).
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub clear: Vec<Part>,
    /// Folder of the prompts, where `run` has one of its own [default: godwit/prompts in the user's
    /// cache folder].
    #[arg(long, value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// Folder of the weights, where `run` has one of its own [default: godwit/weights in the user's
    /// cache folder].
    #[arg(long, value_name = "FOLDER")]
    pub quant_dir: Option<PathBuf>,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// OWNER/REPO[:QUANT][@REVISION], or a model file.
    #[arg(add = ArgValueCompleter::new(candidates::model))]
    pub name: String,
    #[command(flatten)]
    pub plain: Plain,
}
