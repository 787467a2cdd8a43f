//! Weights from the file to the GPU.

mod matrices;

use std::ops::ControlFlow;

use godwit_shaders::kernels::rms_norm::Norm;
use godwit_shaders::kernels::rope_append::{Rope, RopeTables};
use godwit_shaders::kernels::swiglu::GateBiases;
use godwit_shaders::{AttentionShape, BufferRef, KvFormat};

use crate::checkpoint::check_finite;
use crate::error::Error;
use crate::gguf::Tensor;
use crate::gpu::{DeviceBuffers, Gpu};
use crate::model::{Biases, Config, Layer, Llama, Model, TensorHashes, used_tensors};
use crate::progress::{OnProgress, Progress};

/// Bytes on their way to the GPU before they are waited for.
const IN_FLIGHT: u64 = 64 << 20;
/// The same on a host's device: its next frame waits for no more than this many.
const IN_FLIGHT_SHARED: u64 = 2 << 20;

/// Brings a model's weights onto a GPU.
pub(crate) struct Loader<'a> {
    model: &'a Model,
    gpu: &'a Gpu,
    progress: &'a mut OnProgress<'a>,
    done: Progress,
    in_flight: u64,
    pub buffers: DeviceBuffers,
    /// Hashes of what is loaded, where they are wanted.
    pub hashes: Option<TensorHashes>,
}

impl<'a> Loader<'a> {
    pub fn new(model: &'a Model, gpu: &'a Gpu, progress: &'a mut OnProgress<'a>) -> Self {
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
        self.done.done = self.done.total;
        self.report()?;
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

    /// Counts bytes as loaded; waits for the GPU now and then, so that copies don't pile up.
    async fn advance(&mut self, bytes: u64) -> Result<(), Error> {
        self.done.done += bytes;
        self.in_flight += bytes;
        let most = match self.gpu.is_shared() {
            true => IN_FLIGHT_SHARED,
            false => IN_FLIGHT,
        };
        if self.in_flight >= most {
            self.gpu.finish().await?;
            self.in_flight = 0;
        }
        self.report()
    }

    /// Reports how much is loaded. An error where the listener says stop.
    fn report(&mut self) -> Result<(), Error> {
        match (self.progress)(self.done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}
