//! Weights from the file to the GPU.

use godwit_shaders::format::TILE;
use godwit_shaders::rms_norm::Norm;
use godwit_shaders::rope_append::{Rope, RopeTables};
use godwit_shaders::weights::pack_tile;
use godwit_shaders::{BufferRef, Buffers, Heads, KvFormat, Matrix, Shard};

use super::llama::{Layer, Llama};
use super::{Config, Model};
use crate::error::Error;
use crate::format::Tensor;
use crate::gpu::{Gpu, GpuMemory};

/// How much of the weights is loaded, in bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Bytes packed at a time, and bytes on their way to the GPU before they are waited for.
const CHUNK: u64 = 8 << 20;
const IN_FLIGHT: u64 = 64 << 20;

/// Brings a model's weights onto a GPU.
pub(crate) struct Loader<'a> {
    model: &'a Model,
    gpu: &'a Gpu,
    progress: &'a mut dyn FnMut(Progress),
    done: Progress,
    in_flight: u64,
    pub table: Buffers,
    pub memory: GpuMemory,
}

impl<'a> Loader<'a> {
    pub fn new(model: &'a Model, gpu: &'a Gpu, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let total = model.checkpoint().tensors().iter().map(|tensor| tensor.bytes).sum();
        Self {
            model,
            gpu,
            progress,
            done: Progress { done: 0, total },
            in_flight: 0,
            table: Buffers::default(),
            memory: GpuMemory::new(gpu),
        }
    }

    /// Loads all weights, and makes the rotation tables for `context` positions.
    pub async fn llama(&mut self, context: u32, kv: KvFormat) -> Result<Llama, Error> {
        let config = self.model.config().clone();
        let Config { width, ffn, heads, kv_heads, head_dim, vocab, .. } = config;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let embed = self.matrix("token_embd.weight", vocab, width).await?;
        let mut layers = Vec::new();
        for i in 0..config.layers {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            layers.push(Layer {
                attn_norm: self.norm(&name("attn_norm"), &config).await?,
                q: self.matrix(&name("attn_q"), queries, width).await?,
                k: self.matrix(&name("attn_k"), keys, width).await?,
                v: self.matrix(&name("attn_v"), keys, width).await?,
                o: self.matrix(&name("attn_output"), width, queries).await?,
                ffn_norm: self.norm(&name("ffn_norm"), &config).await?,
                gate: self.matrix(&name("ffn_gate"), ffn, width).await?,
                up: self.matrix(&name("ffn_up"), ffn, width).await?,
                down: self.matrix(&name("ffn_down"), width, ffn).await?,
            });
        }
        let norm = self.norm("output_norm.weight", &config).await?;
        let head = match self.model.checkpoint().tensor("output.weight") {
            Some(_) => self.matrix("output.weight", vocab, width).await?,
            None => embed.clone(),
        };
        let (frequencies, scale) = config.frequencies()?;
        let tables = RopeTables::new(&frequencies, scale.into(), context);
        let tables = self.floats("rope", &tables.floats).await?;
        self.gpu.finish().await?;
        (self.progress)(Progress { done: self.done.total, ..self.done });
        let rope = Rope { tables, rotary_dim: config.rotary_dim };
        Ok(Llama { heads: Heads { heads, kv_heads, head_dim }, kv, embed, layers, norm, head, rope })
    }

    fn tensor(&self, name: &str, shape: &[u32]) -> Result<&'a Tensor, Error> {
        let tensor = self.model.checkpoint().tensor(name).ok_or_else(|| Error::TensorMissing { name: name.into() })?;
        let expected: Vec<u64> = shape.iter().map(|&n| n.into()).collect();
        if tensor.shape != expected {
            return Err(Error::TensorShape { name: name.into(), found: tensor.shape.clone(), expected });
        }
        Ok(tensor)
    }

    async fn norm(&mut self, name: &str, config: &Config) -> Result<Norm, Error> {
        let tensor = self.tensor(name, &[config.width])?;
        let stored = self.model.checkpoint().data(tensor, 0..tensor.bytes)?;
        let mut weight = vec![0.0; config.width as usize];
        tensor.format.dequantize(&stored, &mut weight);
        self.advance(tensor.bytes).await?;
        Ok(Norm { weight: self.floats(name, &weight).await?, width: config.width, eps: config.eps })
    }

    async fn floats(&mut self, name: &str, floats: &[f32]) -> Result<BufferRef, Error> {
        let buffer = self.table.declare(name, 4 * floats.len() as u64);
        self.memory.allocate(&self.table).await?;
        self.memory.write(buffer, 0, bytemuck::cast_slice(floats));
        Ok(buffer)
    }

    async fn matrix(&mut self, name: &str, rows: u32, width: u32) -> Result<Matrix, Error> {
        let tensor = self.tensor(name, &[width, rows])?;
        let format = tensor.format;
        let row_bytes = format.bytes(width.into()).filter(|_| width.is_multiple_of(32));
        let row_bytes = row_bytes.ok_or_else(|| Error::TensorWidth { name: name.into(), width })?;
        let tile_bytes = Matrix::tile_bytes(format, width);
        let caps = self.gpu.caps();
        let mut shards = Vec::new();
        for (first, rows) in Matrix::shard_rows(format, rows, width, caps.max_binding.min(caps.max_buffer)) {
            let tiles = rows.div_ceil(TILE as u32);
            let buffer = self.table.declare(format!("{name}[{first}]"), u64::from(tiles) * tile_bytes);
            self.memory.allocate(&self.table).await?;
            // Tiles at a time: the packed copy stays small, however large the matrix.
            let at_once = (CHUNK / tile_bytes).max(1);
            let mut words = Vec::new();
            let mut row = 0;
            while row < u64::from(rows) {
                let count = (at_once * TILE as u64).min(u64::from(rows) - row);
                let begin = (u64::from(first) + row) * row_bytes;
                let stored = self.model.checkpoint().data(tensor, begin..begin + count * row_bytes)?;
                words.resize((count.div_ceil(TILE as u64) * tile_bytes / 4) as usize, 0);
                let packed = words.chunks_exact_mut(tile_bytes as usize / 4);
                for (tile, rows) in packed.zip(stored.chunks(TILE * row_bytes as usize)) {
                    pack_tile(format, width as usize, rows, tile);
                }
                self.memory.write(buffer, row / TILE as u64 * tile_bytes, bytemuck::cast_slice(&words));
                row += count;
                self.advance(count * row_bytes).await?;
            }
            shards.push(Shard { buffer, first, rows });
        }
        Ok(Matrix { format, rows, width, shards })
    }

    /// Counts bytes as loaded; waits for the GPU now and then, so that copies don't pile up.
    async fn advance(&mut self, bytes: u64) -> Result<(), Error> {
        self.done.done += bytes;
        self.in_flight += bytes;
        if self.in_flight >= IN_FLIGHT {
            self.gpu.finish().await?;
            self.in_flight = 0;
        }
        (self.progress)(self.done);
        Ok(())
    }
}
