//! The arguments of the commands about downloaded models.

use clap::Args;

use super::Common;

/// The options of all of them.
#[derive(Args, Clone, Debug)]
pub struct Plain {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Say more on stderr; twice, even more.
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

#[derive(Args, Debug)]
pub struct PullArgs {
    /// OWNER/REPO[:QUANT][@REVISION] on the Hugging Face hub, its address there, or a name of
    /// `godwit list --known`.
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
    pub name: String,
    #[command(flatten)]
    pub plain: Plain,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// OWNER/REPO[:QUANT][@REVISION], or a model file.
    pub name: String,
    #[command(flatten)]
    pub plain: Plain,
}
