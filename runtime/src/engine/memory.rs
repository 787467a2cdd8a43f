//! The GPU memory that a model needs, and the longest context that fits.

use godwit_shaders::kernels::rope_append::RopeTables;
use godwit_shaders::weights::TILE;
use godwit_shaders::{AttentionShape, Buffers, Capabilities, KvFormat, Matrix};

use crate::gguf::Tensor;
use crate::gpu::{Gpu, GpuError};
use crate::kv_cache::KvSegments;
use crate::model::{
    Config, Model, Scratch, ScratchSize, has_gate_biases, prefill_chunk, used_tensors,
};

/// GPU memory in bytes, by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Weights and rotation tables.
    pub weights: u64,
    /// The KV cache.
    pub kv: u64,
    /// Activations and logits.
    pub scratch: u64,
}

impl MemoryUse {
    /// Memory of a session of `context` tokens when it is full, on a device with these
    /// capabilities.
    pub fn estimate(model: &Model, context: u32, kv: KvFormat, caps: &Capabilities) -> Self {
        Self::declare(model, context, kv, caps).0
    }

    /// Compares what a session of `context` tokens will take when it is full with a device's
    /// largest buffer and with a budget of `most` bytes. Needs only the model's head.
    ///
    /// # Errors
    /// A buffer is larger than the device allows, or all of them take more than the budget.
    pub fn check(
        model: &Model,
        context: u32,
        kv: KvFormat,
        caps: &Capabilities,
        most: Option<u64>,
    ) -> Result<(), GpuError> {
        let (memory, table) = Self::declare(model, context, kv, caps);
        let mut buffers = (0..table.len()).filter_map(|id| table.get(id as u32));
        if let Some((what, bytes)) = buffers.find(|(_, bytes)| *bytes > caps.max_buffer) {
            return Err(GpuError::BufferTooLarge {
                what: what.into(),
                bytes,
                most: caps.max_buffer,
            });
        }
        match most {
            Some(budget) if memory.total() > budget => {
                let what = format!("the model with a context of {context} tokens");
                Err(GpuError::OverBudget {
                    what,
                    bytes: memory.total(),
                    used: 0,
                    budget,
                })
            }
            _ => Ok(()),
        }
    }

    /// The estimate, and the buffers of activations and KV cache.
    fn declare(model: &Model, context: u32, kv: KvFormat, caps: &Capabilities) -> (Self, Buffers) {
        let config = model.config();
        let checkpoint = model.checkpoint();
        let weights = used_tensors(model).map(bytes_on_gpu).sum::<u64>();
        let mut table = Buffers::default();
        let has_gate_biases = has_gate_biases(checkpoint, config);
        let chunk = prefill_chunk(config, heads(config), kv, caps, has_gate_biases);
        Scratch::declare(
            &mut table,
            config,
            heads(config),
            kv,
            caps,
            ScratchSize::of_sequence(config, chunk),
            has_gate_biases,
        );
        let scratch = table.bytes();
        let mut cache = KvSegments::new(heads(config), kv, config.layers, context, None, caps);
        while cache.capacity() < context {
            cache.grow(&mut table, None);
        }
        let tables = RopeTables::bytes(config.rotary_dim, context);
        (
            Self {
                weights: weights + tables,
                kv: cache.bytes(),
                scratch,
            },
            table,
        )
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.scratch
    }

    /// The longest context, up to the model's window, that `bytes` are enough for; 0 where not even
    /// one token is.
    pub fn longest_context(model: &Model, kv: KvFormat, caps: &Capabilities, bytes: u64) -> u32 {
        let fits = |context: u32| Self::estimate(model, context, kv, caps).total() <= bytes;
        let (mut fitting, mut beyond) = (0, model.config().context + 1);
        while beyond - fitting > 1 {
            let middle = fitting + (beyond - fitting) / 2;
            if fits(middle) {
                fitting = middle
            } else {
                beyond = middle
            }
        }
        fitting
    }
}

/// Bytes that a tensor takes on a GPU: whole tiles of a matrix, floats of a vector.
fn bytes_on_gpu(tensor: &Tensor) -> u64 {
    match tensor.shape[..] {
        [width, rows] => {
            rows.div_ceil(TILE as u64) * Matrix::tile_bytes(tensor.format, width as u32)
        }
        _ => 4 * tensor.shape.iter().product::<u64>(),
    }
}

impl Model {
    /// Bytes of weights that a pass must read. A pass that ends with logits reads all weights, but
    /// of an embedding that is not the output head too only its tokens' rows, which are not
    /// counted. Other passes end with the last layer's keys and values: they need neither the rest
    /// of that layer nor the head.
    pub fn weight_bytes_per_pass(&self, has_logits: bool) -> u64 {
        let checkpoint = self.checkpoint();
        let last = format!("blk.{}.", self.config().layers.saturating_sub(1));
        let is_read = |name: &str| match name {
            "token_embd.weight" => has_logits && checkpoint.tensor("output.weight").is_none(),
            "output.weight" | "output_norm.weight" => has_logits,
            "rope_freqs.weight" => false,
            _ => {
                has_logits
                    || !name
                        .strip_prefix(&last)
                        .is_some_and(comes_after_keys_and_values)
            }
        };
        used_tensors(self)
            .filter(|tensor| is_read(&tensor.name))
            .map(bytes_on_gpu)
            .sum()
    }
}

/// Whether a layer's tensor is for what follows its keys and values.
fn comes_after_keys_and_values(part: &str) -> bool {
    part.starts_with("attn_output") || part.starts_with("ffn_")
}

/// Bytes of KV cache that a token takes.
pub(crate) fn kv_bytes(config: &Config, kv: KvFormat) -> u64 {
    kv.bytes(heads(config)).iter().sum::<u64>() * u64::from(config.layers)
}

pub(crate) fn heads(config: &Config) -> AttentionShape {
    AttentionShape {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
    }
}

impl Gpu {
    /// Memory that a model may take, where that is known: what was allowed, or, where the CPU
    /// computes, what the machine has left. What a GPU has left, no portable interface tells.
    pub fn available_memory(&self) -> Option<u64> {
        let host = || {
            if self.summary().is_cpu() {
                host_memory()
            } else {
                None
            }
        };
        self.memory_budget().or_else(host)
    }
}

/// Linux's estimate of the memory that programs can still get, in bytes.
fn host_memory() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The most memory that this process ever took, in bytes, where the system tells. Where the CPU
/// computes it is what a model took, and the driver and the program besides.
pub fn peak_process_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// The bytes that a line of one of Linux's files gives in kilobytes.
fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()?
            << 10,
    )
}
