//! What can go wrong, by layer: the causes inside the crate's [`Error`], and the errors of texts
//! that are parsed.

pub use godwit_shaders::capabilities::BadTuning;
pub use godwit_shaders::kv::UnknownKvType;

pub use crate::chat::ChatError;
pub use crate::error::{ConfigError, Error};
pub use crate::gguf::{FormatCause, FormatError};
pub use crate::gpu::GpuError;
pub use crate::io::{ContentError, FileError, SourceCause, SourceError};
pub use crate::kv_cache::{KvCacheError, SnapshotError, SpillError};
pub use crate::model::{BadContextSize, BadStretch};
pub use crate::quantize::{BadMix, BadOverride};
pub use crate::sampling::SamplingError;
pub use crate::tokenizer::TokenizerError;
