//! Arguments that say which model, and how much it is to hold.

use std::path::PathBuf;

use clap::Args;
use godwit::low_level::Synthetic;
use godwit::quantize::Mix;
use godwit::{ContextSize, KvFormat, RopeOverride, RopeStretch};

use super::bytes;

/// The model, and how much it is to hold.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub quant: QuantArgs,
    /// Tokens the context holds at most, such as 8192, 128k or 1m; max: as many as the memory has
    /// room for [default: the model's window].
    #[arg(short, long, value_name = "TOKENS", alias = "ctx-size")]
    pub context: Option<ContextSize>,
    #[command(flatten)]
    pub kv: KvArgs,
    /// Host memory for what the GPU has no room for of the KV cache; beyond that it goes to a file.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "8G")]
    pub spill_memory: u64,
    /// Folder for that file [default: that for temporary files, or godwit in the user's cache
    /// folder where that is in memory].
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_spill")]
    pub spill_dir: Option<PathBuf>,
    /// Keep all of the KV cache on the GPU, and stop where it is full.
    #[arg(long)]
    pub no_spill: bool,
}

/// Where the model comes from.
#[derive(Args, Clone, Debug)]
pub struct ModelSource {
    /// GGUF file (of a split model, the first part), folder of a model with safetensors, or name as
    /// `godwit pull` has it.
    #[arg(required_unless_present_any = ["synthetic", "named", "hf"])]
    pub model: Option<PathBuf>,
    /// The model, where llama.cpp's commands have it.
    #[arg(
        short = 'm',
        long = "model",
        value_name = "MODEL",
        conflicts_with = "synthetic"
    )]
    #[arg(hide = true)]
    pub named: Option<PathBuf>,
    /// The name of a model on the hub, as llama.cpp's commands have it.
    #[arg(long, value_name = "NAME", alias = "hf-repo", hide = true)]
    #[arg(conflicts_with_all = ["synthetic", "named"])]
    pub hf: Option<String>,
    /// Instead of a file, weights of noise in the shape of a real model, for measuring:
    /// SHAPE[:FORMAT][,KEY=N...], such as llama3-8b:q4_k.
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    pub synthetic: Option<Synthetic>,
    #[command(flatten)]
    pub rope: RopeArgs,
    /// Download the model without asking, where MODEL is the name of one that is not here.
    #[arg(short, long)]
    pub yes: bool,
}

impl ModelSource {
    /// Puts the model of `-m` or `-hf` in the place of MODEL. Returns what was there.
    pub fn settle(&mut self) -> Option<String> {
        let hub = |name: String| PathBuf::from(format!("hf.co/{name}"));
        let model = self.named.take().or_else(|| self.hf.take().map(hub))?;
        let other = self.model.replace(model)?;
        Some(other.to_string_lossy().into_owned())
    }
}

/// Weights smaller than the model's own.
#[derive(Args, Clone, Debug)]
pub struct QuantArgs {
    /// Quantise the weights first: q4_0, q4_k, q5_k, q6_k, q8_0 and so on, as `godwit quantize
    /// --help` has them. The result is kept on disk for the next time.
    #[arg(long, value_name = "TYPE", conflicts_with = "synthetic")]
    pub quant: Option<Mix>,
    /// Folder for quantised weights [default: godwit in the user's cache folder].
    #[arg(long, value_name = "FOLDER", requires = "quant")]
    pub quant_dir: Option<PathBuf>,
    /// Disk space for them; what was not used for the longest time goes first.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "64G")]
    pub quant_cache_size: u64,
}

/// Another rotary embedding than the file's.
#[derive(Args, Clone, Copy, Debug)]
pub struct RopeArgs {
    /// Base of the rotary frequencies, for the file's.
    #[arg(long, value_name = "THETA")]
    pub rope_theta: Option<f64>,
    /// Scaling of the rotary frequencies, for the file's: none, linear:FACTOR, llama3:FACTOR or
    /// yarn:FACTOR. The window grows by the factor.
    #[arg(long, value_name = "TYPE")]
    pub rope_scaling: Option<RopeStretch>,
    /// The model's window in tokens, for the file's.
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    pub window: Option<u32>,
}

impl RopeArgs {
    /// The change, if any.
    pub fn change(&self) -> Option<RopeOverride> {
        let change = RopeOverride::default()
            .theta(self.rope_theta)
            .stretch(self.rope_scaling)
            .window(self.window);
        (change != RopeOverride::default()).then_some(change)
    }
}

/// A number of tokens: 4096, 128k, 1m.
pub fn tokens(text: &str) -> Result<u32, String> {
    godwit::low_level::tokens(text)
        .ok_or_else(|| "write a number of tokens such as 4096, 128k or 1m".into())
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
        KvFormat {
            hadamard: !self.no_kv_rotation,
            ..self.kv
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn rope_is_changed_where_asked() {
        let cli =
            |args: &[&str]| Cli::try_parse_from([&["godwit", "inspect", "m.gguf"], args].concat());
        let change = |args: &[&str]| match cli(args).expect("it parses").command {
            Command::Inspect(args) => args.source.rope.change(),
            _ => None,
        };
        assert_eq!(change(&[]), None);
        let found = change(&[
            "--rope-theta",
            "2.8e9",
            "--rope-scaling",
            "yarn:4",
            "--window",
            "1m",
        ]);
        let wanted = RopeOverride::default()
            .theta(Some(2.8e9))
            .stretch(Some(RopeStretch::Yarn(4.0)))
            .window(Some(1 << 20));
        assert_eq!(found, Some(wanted));
        assert!(
            cli(&["--synthetic", "tiny"]).is_err() && cli(&["--rope-scaling", "yarn"]).is_err()
        );
    }
}
