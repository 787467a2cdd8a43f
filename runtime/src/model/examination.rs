//! A look at a checkpoint before anything is loaded: whether it can be run, why not, and what of it
//! is not used.

use super::rope::RopeOverride;
use super::tensors::{self, Unused};
use super::{Config, variations};
use crate::checkpoint::{Checkpoint, UnknownKey};
use crate::error::Error;
use crate::gguf::FormatError;
use crate::sampling::Recommended;

/// What a look at a checkpoint found. [`Model::from_checkpoint`](super::Model::from_checkpoint)
/// refuses it with the first of the obstacles.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// The hyperparameters, where they make sense.
    pub config: Option<Config>,
    /// Why it can't be run; none where it can.
    pub obstacles: Vec<Error>,
    /// Tensors that are not used and change nothing, by the names of the files.
    pub unused_tensors: Vec<String>,
    /// Hyperparameters that are not known: a GGUF file's by their keys, a repository's as
    /// `config.json: key`.
    pub unused_keys: Vec<String>,
    /// Recommendations that make no sense, and are not used.
    pub unused_values: Vec<FormatError>,
    /// Short notes about `unused_keys`, for callers that do not list the keys.
    pub unused_keys_notes: Vec<String>,
    /// Other parts that are ignored or limited, in sentences.
    pub notes: Vec<String>,
}

impl Examination {
    /// Looks at a checkpoint that is to be run with this rotary embedding. Of the weights, only
    /// `rope_freqs.weight` is read.
    pub fn of(checkpoint: &dyn Checkpoint, rope: &RopeOverride) -> Self {
        let meta = checkpoint.metadata();
        let mut all = Self {
            notes: checkpoint.notes().to_vec(),
            ..Self::default()
        };
        if let Err(error) = variations::kind(checkpoint) {
            all.obstacles.push(error.into());
            return all;
        }
        // One names the type; the others have the same cause.
        let foreign = checkpoint.foreign_tensors().first();
        all.obstacles
            .extend(foreign.map(|tensor| Error::Format(tensor.cause.clone())));
        let mut unknown = variations::unknown_keys(meta);
        all.unused_keys = unknown.iter().map(|unknown| unknown.key.clone()).collect();
        all.unused_keys.extend(
            checkpoint
                .unknown_keys()
                .iter()
                .map(|UnknownKey { file, key }| format!("{file}: {key}")),
        );
        unknown.extend_from_slice(checkpoint.unknown_keys());
        all.unused_keys_notes
            .extend(unknown.chunk_by(|a, b| a.file == b.file).map(unknown_keys));
        all.obstacles.extend_from_slice(checkpoint.obstacles());
        all.obstacles
            .extend(variations::of_metadata(meta).into_iter().map(Error::from));
        match Config::numbers(checkpoint, rope) {
            Ok(config) => {
                if foreign.is_none() {
                    all.look_at_tensors(checkpoint, &config);
                }
                all.notes.extend(sliding_window(checkpoint, &config));
                all.notes.extend(vocabulary(checkpoint, &config));
                all.config = Some(config);
            }
            Err(error) => all.obstacles.push(error.into()),
        }
        all.unused_values = Recommended::read(meta)
            .causes()
            .iter()
            .map(|(_, error)| error.clone())
            .collect();
        all
    }

    fn look_at_tensors(&mut self, checkpoint: &dyn Checkpoint, config: &Config) {
        let file = checkpoint
            .files()
            .first()
            .map_or_else(String::new, |file| (*file).to_owned());
        if checkpoint.tensors().is_empty() && checkpoint.unnamed_tensors().is_empty() {
            self.obstacles.push(Error::NoTensors { file });
            return;
        }
        let expected = tensors::expected(config);
        let Unused {
            harmless,
            unsupported,
        } = tensors::unused(checkpoint, &expected);
        self.unused_tensors = harmless;
        if !unsupported.is_empty() {
            self.obstacles.push(Error::TensorsUnused {
                file,
                names: unsupported,
            });
        }
        self.obstacles
            .extend(tensors::check(checkpoint, &expected).err());
    }
}

/// The note about a file's unknown keys.
fn unknown_keys(keys: &[UnknownKey]) -> String {
    const SHOWN: usize = 12;
    let file = keys.first().map_or("", |unknown| unknown.file.as_str());
    let names: Vec<String> = keys
        .iter()
        .take(SHOWN)
        .map(|unknown| unknown.key.escape_debug().to_string())
        .collect();
    let names = names.join(", ");
    match keys.len() {
        1 => format!("{file}: this key is not known and is ignored: {names}"),
        2..=SHOWN => format!("{file}: these keys are not known and are ignored: {names}"),
        all => format!(
            "{file}: these keys are not known and are ignored: {names} and {} more",
            all - SHOWN
        ),
    }
}

/// The note about a context window that a sliding window limits.
fn sliding_window(checkpoint: &dyn Checkpoint, config: &Config) -> Option<String> {
    let meta = checkpoint.metadata();
    let (key, window) = ("llama.attention.sliding_window", "llama.context_length");
    let limit = meta
        .uniform(key)
        .ok()
        .flatten()
        .filter(|&limit| limit > 0)?;
    let trained = meta
        .uniform(window)
        .ok()
        .flatten()
        .filter(|&trained| trained > limit)?;
    (u64::from(config.context) == limit).then(|| {
        let (file, key, window) = (meta.origin_file(key), meta.origin(key), meta.origin(window));
        format!(
            "{file}: {key} is {limit}, which is not computed: the window is {limit} tokens \
            instead of {window}'s {trained}"
        )
    })
}

/// The note about a vocabulary size that differs from the embedding's.
fn vocabulary(checkpoint: &dyn Checkpoint, config: &Config) -> Option<String> {
    let (meta, key) = (checkpoint.metadata(), "llama.vocab_size");
    let given = meta
        .u64(key)
        .ok()
        .flatten()
        .filter(|&given| given != u64::from(config.vocab))?;
    let (file, key, rows) = (meta.origin_file(key), meta.origin(key), config.vocab);
    Some(format!(
        "{file}: {key} is {given}, but the embedding has {rows} rows: {rows} counts"
    ))
}
