//! Weights from the file to the GPU.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_shaders::kernels::rms_norm::Norm;
use godwit_shaders::kernels::rope_append::{Rope, RopeTables};
use godwit_shaders::kernels::swiglu::GateBiases;
use godwit_shaders::weights::TILE;
use godwit_shaders::weights::pack_tile;
use godwit_shaders::{AttentionShape, BufferRef, KvFormat, Matrix, Shard, WeightFormat};

use crate::checkpoint::check_finite;
use crate::error::Error;
use crate::gguf::Tensor;
use crate::gpu::{DeviceBuffers, Gpu};
use crate::model::{Biases, Config, Layer, Llama, Model, Progress, TensorHashes, used_tensors};

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
    pub buffers: DeviceBuffers,
    /// Hashes of what is loaded, where they are wanted.
    pub hashes: Option<TensorHashes>,
}

impl<'a> Loader<'a> {
    pub fn new(model: &'a Model, gpu: &'a Gpu, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let total = used_tensors(model).map(|tensor| tensor.bytes).sum();
        Self {
            model,
            gpu,
            progress,
            done: Progress { done: 0, total },
            in_flight: 0,
            buffers: DeviceBuffers::new(gpu),
            hashes: None,
        }
    }

    /// Loads all weights, and makes the rotation tables for `context` positions.
    pub async fn llama(&mut self, context: u32, kv: KvFormat) -> Result<Llama, Error> {
        let config = self.model.config().clone();
        let Config {
            width,
            ffn,
            heads,
            kv_heads,
            head_dim,
            vocab,
            ..
        } = config;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let embed = self.matrix("token_embd.weight", vocab, width).await?;
        let mut layers = Vec::new();
        for i in 0..config.layers {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            let biases = self.biases(i, &config).await?;
            let fused = biases.gate_and_up.is_none();
            let (gate, up) = self
                .gate_and_up(&name("ffn_gate"), &name("ffn_up"), ffn, width, fused)
                .await?;
            layers.push(Layer {
                attn_norm: self.norm(&name("attn_norm"), &config).await?,
                qkv: self
                    .stack(
                        &[
                            (&name("attn_q"), queries),
                            (&name("attn_k"), keys),
                            (&name("attn_v"), keys),
                        ],
                        width,
                    )
                    .await?,
                o: self.matrix(&name("attn_output"), width, queries).await?,
                ffn_norm: self.norm(&name("ffn_norm"), &config).await?,
                gate,
                up,
                down: self.matrix(&name("ffn_down"), width, ffn).await?,
                biases,
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
        self.gpu.release_uploads();
        (self.progress)(Progress {
            done: self.done.total,
            ..self.done
        });
        let rope = Rope {
            tables,
            rotary_dim: config.rotary_dim,
        };
        Ok(Llama {
            shape: AttentionShape {
                heads,
                kv_heads,
                head_dim,
            },
            kv,
            embed,
            layers,
            norm,
            head,
            rope,
        })
    }

    fn tensor(&self, name: &str, shape: &[u32]) -> Result<&'a Tensor, Error> {
        let checkpoint = self.model.checkpoint();
        let own_name = || checkpoint.own_name(name);
        let tensor = checkpoint
            .tensor(name)
            .ok_or_else(|| Error::TensorMissing { name: own_name() })?;
        let expected: Vec<u64> = shape.iter().map(|&n| n.into()).collect();
        if tensor.shape != expected {
            return Err(Error::TensorShape {
                name: own_name(),
                found: tensor.shape.clone(),
                expected,
            });
        }
        Ok(tensor)
    }

    async fn norm(&mut self, name: &str, config: &Config) -> Result<Norm, Error> {
        let weight = self.vector(name, config.width).await?;
        Ok(Norm {
            weight: self.floats(name, &weight).await?,
            width: config.width,
            eps: config.eps,
        })
    }

    /// A tensor of one dimension as floats.
    async fn vector(&mut self, name: &str, len: u32) -> Result<Vec<f32>, Error> {
        let tensor = self.tensor(name, &[len])?;
        let stored = self.model.checkpoint().data(tensor, 0..tensor.bytes)?;
        check_finite(self.model.checkpoint(), tensor, 0, &stored)?;
        if let Some(hashes) = &mut self.hashes {
            hashes.add(tensor, 0, &stored);
        }
        let mut floats = vec![0.0; len as usize];
        tensor.format.dequantize(&stored, &mut floats);
        self.advance(tensor.bytes).await?;
        Ok(floats)
    }

    /// The biases of a layer's projections, where there are any.
    async fn biases(&mut self, layer: u32, config: &Config) -> Result<Biases, Error> {
        let (queries, keys) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        let qkv = [("attn_q", queries), ("attn_k", keys), ("attn_v", keys)];
        let gate = self.bias(layer, &[("ffn_gate", config.ffn)], false).await?;
        let up = self
            .bias(layer, &[("ffn_up", config.ffn)], gate.is_some())
            .await?;
        let gate = match (gate, up) {
            (None, Some(_)) => self.bias(layer, &[("ffn_gate", config.ffn)], true).await?,
            (gate, _) => gate,
        };
        Ok(Biases {
            qkv: self.bias(layer, &qkv, false).await?,
            o: self
                .bias(layer, &[("attn_output", config.width)], false)
                .await?,
            gate_and_up: gate.zip(up).map(|(gate, up)| GateBiases { gate, up }),
            down: self
                .bias(layer, &[("ffn_down", config.width)], false)
                .await?,
        })
    }

    /// The biases of these projections, one behind the other; zeros where one has none. Nothing
    /// where none has one, unless it is needed.
    async fn bias(
        &mut self,
        layer: u32,
        parts: &[(&str, u32)],
        needed: bool,
    ) -> Result<Option<BufferRef>, Error> {
        let name = |part: &str| format!("blk.{layer}.{part}.bias");
        let is_there = |part: &str| self.model.checkpoint().tensor(&name(part)).is_some();
        if !needed && !parts.iter().any(|(part, _)| is_there(part)) {
            return Ok(None);
        }
        let mut floats = Vec::new();
        for &(part, len) in parts {
            match self.model.checkpoint().tensor(&name(part)) {
                Some(_) => floats.extend(self.vector(&name(part), len).await?),
                None => floats.resize(floats.len() + len as usize, 0.0),
            }
        }
        let label = parts
            .first()
            .map_or_else(String::new, |(part, _)| name(part));
        Ok(Some(self.floats(&label, &floats).await?))
    }

    async fn floats(&mut self, name: &str, floats: &[f32]) -> Result<BufferRef, Error> {
        let buffer = self
            .buffers
            .allocate(|table| table.declare(name, 4 * floats.len() as u64))
            .await?;
        self.buffers
            .memory()
            .write(buffer, 0, bytemuck::cast_slice(floats))
            .await?;
        Ok(buffer)
    }

    async fn matrix(&mut self, name: &str, rows: u32, width: u32) -> Result<Matrix, Error> {
        self.stack(&[(name, rows)], width).await
    }

    /// One matrix of several tensors' rows, one behind the other. Neighbours that are stored alike
    /// share shards.
    async fn stack(&mut self, parts: &[(&str, u32)], width: u32) -> Result<Matrix, Error> {
        let rows = parts.iter().map(|(_, rows)| rows).sum();
        let mut matrix = Matrix {
            rows,
            width,
            shards: Vec::new(),
        };
        let mut alike: Vec<Rows<'a>> = Vec::new();
        for &(name, rows) in parts {
            let part = self.rows(name, rows, width)?;
            if alike.last().is_some_and(|last| {
                last.format() != part.format() || !last.count.is_multiple_of(TILE as u32)
            }) {
                self.shards(&mut matrix, &std::mem::take(&mut alike))
                    .await?;
            }
            alike.push(part);
        }
        self.shards(&mut matrix, &alike).await?;
        Ok(matrix)
    }

    /// The gate and the up projection: one matrix whose tiles alternate where that can be, and if
    /// they are to be `fused`.
    async fn gate_and_up(
        &mut self,
        gate: &str,
        up: &str,
        rows: u32,
        width: u32,
        fused: bool,
    ) -> Result<(Matrix, Option<Matrix>), Error> {
        let parts = [self.rows(gate, rows, width)?, self.rows(up, rows, width)?];
        if !fused || parts[0].format() != parts[1].format() || !rows.is_multiple_of(TILE as u32) {
            return Ok((
                self.matrix(gate, rows, width).await?,
                Some(self.matrix(up, rows, width).await?),
            ));
        }
        let tiles = (0..rows)
            .step_by(TILE)
            .flat_map(|first| parts.map(|part| part.part(first, TILE as u32)));
        let mut matrix = Matrix {
            rows: 2 * rows,
            width,
            shards: Vec::new(),
        };
        self.shards(&mut matrix, &tiles.collect::<Vec<_>>()).await?;
        Ok((matrix, None))
    }

    /// A tensor's rows, checked.
    fn rows(&self, name: &str, rows: u32, width: u32) -> Result<Rows<'a>, Error> {
        let tensor = self.tensor(name, &[width, rows])?;
        let bytes = tensor
            .format
            .bytes(width.into())
            .filter(|_| width.is_multiple_of(32));
        let bytes = bytes.ok_or_else(|| Error::TensorWidth {
            name: self.model.checkpoint().own_name(name),
            width,
        })?;
        Ok(Rows {
            tensor,
            bytes,
            first: 0,
            count: rows,
        })
    }

    /// Writes rows of one format to the GPU, and appends their shards to `matrix`. All parts but
    /// the last are whole tiles.
    async fn shards(&mut self, matrix: &mut Matrix, parts: &[Rows<'a>]) -> Result<(), Error> {
        let Some(format) = parts.first().map(Rows::format) else {
            return Ok(());
        };
        let tile_bytes = Matrix::tile_bytes(format, matrix.width);
        let caps = self.gpu.caps();
        // An even number of tiles: pairs of them stay together.
        let most = caps.max_binding.min(caps.max_buffer);
        let first = matrix
            .shards
            .last()
            .map_or(0, |shard| shard.first + shard.rows);
        let name = parts[0].tensor.name.as_str();
        let mut queue: VecDeque<Rows<'a>> = parts.iter().copied().collect();
        for (offset, rows) in Matrix::shard_rows(
            format,
            parts.iter().map(|p| p.count).sum(),
            matrix.width,
            most,
        ) {
            let tiles = rows.div_ceil(TILE as u32);
            let name = format!("{name}[{}]", first + offset);
            let bytes = u64::from(tiles) * tile_bytes;
            let buffer = self
                .buffers
                .allocate(|table| table.declare(name, bytes))
                .await?;
            self.pack(format, matrix.width, buffer, rows, &mut queue)
                .await?;
            matrix.shards.push(Shard {
                format,
                buffer,
                first: first + offset,
                rows,
            });
        }
        Ok(())
    }

    /// Packs `rows` rows from the front of `queue` into a buffer, a few tiles at a time: the packed
    /// copy stays small, however large the matrix.
    async fn pack(
        &mut self,
        format: WeightFormat,
        width: u32,
        buffer: BufferRef,
        rows: u32,
        queue: &mut VecDeque<Rows<'a>>,
    ) -> Result<(), Error> {
        let tile_bytes = Matrix::tile_bytes(format, width);
        let at_once = (CHUNK / tile_bytes).max(1) as u32 * TILE as u32;
        let mut words = Vec::new();
        let mut row = 0;
        while row < rows {
            let chunk = at_once.min(rows - row);
            let mut stored = Vec::new();
            let (mut missing, mut row_bytes) = (chunk, 0);
            while missing > 0 {
                let Some(next) = queue.pop_front() else { break };
                let own = next.part(0, next.count.min(missing));
                if own.count < next.count {
                    queue.push_front(next.part(own.count, next.count - own.count));
                }
                stored.push((own, self.model.checkpoint().data(own.tensor, own.range())?));
                (missing, row_bytes) = (missing - own.count, own.bytes);
            }
            words.resize(
                (u64::from(chunk.div_ceil(TILE as u32)) * tile_bytes / 4) as usize,
                0,
            );
            let packed = words.chunks_exact_mut(tile_bytes as usize / 4);
            let tiles = stored
                .iter()
                .flat_map(|(_, stored)| stored.chunks(TILE * row_bytes as usize));
            let all_finite = AtomicBool::new(true);
            let pack = || {
                for_each(packed.zip(tiles), |(tile, rows)| {
                    pack_tile(format, width as usize, rows, tile);
                    if !format.is_finite(rows) {
                        all_finite.store(false, Ordering::Relaxed);
                    }
                });
            };
            match &mut self.hashes {
                None => pack(),
                Some(hashes) => both(pack, || {
                    stored.iter().for_each(|(rows, bytes)| {
                        hashes.add(rows.tensor, rows.range().start, bytes)
                    });
                }),
            }
            if !all_finite.into_inner() {
                for (rows, stored) in &stored {
                    check_finite(
                        self.model.checkpoint(),
                        rows.tensor,
                        rows.first.into(),
                        stored,
                    )?;
                }
            }
            self.advance(u64::from(chunk) * row_bytes).await?;
            self.buffers
                .memory()
                .write(
                    buffer,
                    u64::from(row) / TILE as u64 * tile_bytes,
                    bytemuck::cast_slice(&words),
                )
                .await?;
            row += chunk;
        }
        Ok(())
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

/// Does something with every item, on all cores where there are threads.
#[cfg(not(target_arch = "wasm32"))]
fn for_each<T: Send>(items: impl Iterator<Item = T>, each: impl Fn(T) + Sync + Send) {
    use rayon::prelude::*;
    items.collect::<Vec<_>>().into_par_iter().for_each(each);
}

#[cfg(target_arch = "wasm32")]
fn for_each<T>(items: impl Iterator<Item = T>, each: impl Fn(T)) {
    items.for_each(each);
}

/// Does two things, at the same time where there are threads.
#[cfg(not(target_arch = "wasm32"))]
fn both(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon::join(a, b);
}

#[cfg(target_arch = "wasm32")]
fn both(a: impl FnOnce(), b: impl FnOnce()) {
    a();
    b();
}

/// Consecutive rows of a tensor.
#[derive(Clone, Copy)]
struct Rows<'a> {
    tensor: &'a Tensor,
    /// Bytes of a stored row.
    bytes: u64,
    first: u32,
    count: u32,
}

impl Rows<'_> {
    fn format(&self) -> WeightFormat {
        self.tensor.format
    }

    /// `count` of these rows, from `first` on.
    fn part(self, first: u32, count: u32) -> Self {
        Self {
            first: self.first + first,
            count,
            ..self
        }
    }

    /// Where they are in the tensor's bytes.
    fn range(&self) -> Range<u64> {
        let begin = u64::from(self.first) * self.bytes;
        begin..begin + u64::from(self.count) * self.bytes
    }
}
