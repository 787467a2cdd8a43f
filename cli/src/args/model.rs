//! Arguments that say which model, and how much it is to hold.

use std::path::PathBuf;

use clap::Args;
use clap::builder::TypedValueParser;
use clap_complete::engine::ArgValueCompleter;
use godwit::low_level::Synthetic;
use godwit::quantize::Mix;
use godwit::{ContextSize, KvFormat, RopeOverride, RopeStretch};

use crate::candidates;

use super::{MODEL, bytes, one_of, usual};

/// The model, and how much it is to hold.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    #[command(flatten)]
    pub source: ModelSource,
    #[command(flatten)]
    pub quant: QuantArgs,
    /// Tokens that the context holds, such as 8192, 128k or max [default: the model's window].
    ///
    /// `max` takes as many as the memory has room for.
    #[arg(short, long, value_name = "TOKENS", alias = "ctx-size")]
    #[arg(help_heading = CONTEXT)]
    pub context: Option<ContextSize>,
    #[command(flatten)]
    pub kv: KvArgs,
    /// Host memory for what the GPU has no room for of the KV cache; beyond that it goes to a file.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "8G")]
    #[arg(hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
    pub spill_memory: u64,
    /// Folder for that file [default: that for temporary files, or godwit in the user's cache
    /// folder where that is in memory].
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with = "no_spill",
        hide_short_help = true
    )]
    #[arg(help_heading = CONTEXT)]
    pub spill_dir: Option<PathBuf>,
    /// Keep all of the KV cache on the GPU, and stop where it is full.
    #[arg(long, hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
    pub no_spill: bool,
}

/// The flags that name a model in place of MODEL.
pub const OTHER_MODELS: [&str; 3] = ["synthetic", "named", "hf"];

/// Heading of the flags about what the model holds.
pub(super) const CONTEXT: &str = "Context and KV cache";

/// Where the model comes from, and its rotary embedding.
#[derive(Args, Clone, Debug)]
pub struct ModelSource {
    #[command(flatten)]
    pub file: ModelFile,
    #[command(flatten)]
    pub rope: RopeArgs,
}

/// Where the model comes from.
#[derive(Args, Clone, Debug)]
pub struct ModelFile {
    /// GGUF file, folder with safetensors, or name as `godwit pull` has it
    ///
    /// Of a model that is split into several GGUF files, any of them.
    #[arg(required_unless_present_any = OTHER_MODELS)]
    #[arg(add = ArgValueCompleter::new(candidates::model))]
    pub model: Option<PathBuf>,
    /// The model, where llama.cpp's commands have it.
    #[arg(
        short = 'm',
        long = "model",
        value_name = "MODEL",
        conflicts_with = "synthetic"
    )]
    #[arg(hide = true, add = ArgValueCompleter::new(candidates::model))]
    pub named: Option<PathBuf>,
    /// The name of a model on the hub, as llama.cpp's commands have it.
    #[arg(long, value_name = "NAME", alias = "hf-repo", hide = true)]
    #[arg(conflicts_with_all = ["synthetic", "named"])]
    #[arg(add = ArgValueCompleter::new(candidates::name))]
    pub hf: Option<String>,
    /// Instead of a file, weights of noise in the shape of a real model, for measuring:
    /// SHAPE[:FORMAT][,KEY=N...], such as llama3-8b:q4_k.
    #[arg(long, value_name = "SHAPE", hide_short_help = true)]
    #[arg(help_heading = MODEL)]
    pub synthetic: Option<Synthetic>,
    /// Download the model without asking, where MODEL is the name of one that is not here.
    #[arg(short, long)]
    #[arg(help_heading = MODEL)]
    pub yes: bool,
}

impl ModelFile {
    /// Puts the model of `-m` or `-hf` in the place of MODEL. Returns the argument that was there:
    /// the first one that is no model, where a flag names the model.
    pub fn settle(&mut self) -> Option<String> {
        let hub = |name: String| PathBuf::from(format!("hf.co/{name}"));
        let named = self.named.take().or_else(|| self.hf.take().map(hub));
        if named.is_none() && self.synthetic.is_none() {
            return None;
        }
        if named.is_some() {
            // Of two settings, the name of a model comes first.
            self.synthetic = None;
        }
        let other = std::mem::replace(&mut self.model, named)?;
        Some(other.to_string_lossy().into_owned())
    }
}

/// Weights smaller than the model's own.
#[derive(Args, Clone, Debug)]
pub struct QuantArgs {
    /// Quantise the weights first, such as to q4_k_m [default: as they are].
    ///
    /// The result is kept on disk for the next time. `godwit quantize --help` lists the types.
    #[arg(long, value_name = "TYPE", conflicts_with = "synthetic", value_parser = mix())]
    #[arg(hide_possible_values = true)]
    #[arg(help_heading = MODEL)]
    pub quant: Option<Mix>,
    /// Folder for quantised weights [default: godwit/weights in the user's cache folder].
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "quant",
        hide_short_help = true
    )]
    #[arg(help_heading = MODEL)]
    pub quant_dir: Option<PathBuf>,
    /// Disk space for them; what was not used for the longest time goes first.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "64G")]
    #[arg(hide_short_help = true)]
    #[arg(help_heading = MODEL)]
    pub quant_cache_size: u64,
}

/// Another rotary embedding than the file's.
#[derive(Args, Clone, Copy, Debug)]
pub struct RopeArgs {
    /// Base of the rotary frequencies [default: the model's].
    #[arg(long, value_name = "THETA", hide_short_help = true)]
    #[arg(help_heading = "Rotary embedding")]
    pub rope_theta: Option<f64>,
    /// Scaling of the rotary frequencies: none, linear:FACTOR, llama3:FACTOR or yarn:FACTOR; the
    /// window grows by the factor [default: the model's].
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    #[arg(help_heading = "Rotary embedding")]
    pub rope_scaling: Option<RopeStretch>,
    /// The model's window in tokens [default: the model's].
    #[arg(long, value_name = "TOKENS", value_parser = tokens, hide_short_help = true)]
    #[arg(help_heading = "Rotary embedding")]
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

/// A parser of the ways to quantise a model.
pub(super) fn mix() -> impl TypedValueParser<Value = Mix> {
    one_of::<Mix>(Mix::ALL.iter().map(|mix| mix.name().to_ascii_lowercase()))
}

/// A number of tokens: 4096, 128k, 1m.
pub fn tokens(text: &str) -> Result<u32, String> {
    godwit::low_level::tokens(text)
        .ok_or_else(|| "write a number of tokens such as 4096, 128k or 1m".into())
}

/// How the KV cache is stored.
#[derive(Args, Clone, Copy, Debug)]
pub struct KvArgs {
    /// How the KV cache is stored; KEYS/VALUES where they differ, such as q8_0/q4_0.
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    #[arg(value_parser = usual::<KvFormat>(&["f32", "f16", "q8_0", "q4_0"]))]
    #[arg(help_heading = CONTEXT)]
    pub kv: KvFormat,
    /// Don't rotate keys and values before they are quantised to q8_0 or q4_0.
    #[arg(long, hide_short_help = true)]
    #[arg(help_heading = CONTEXT)]
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
        assert!(cli(&["--rope-scaling", "yarn"]).is_err());
    }
}
