//! Measuring what a model's matrices are multiplied with, for importance matrices.

use godwit_shaders::capabilities::BINDING_ALIGNMENT;
use godwit_shaders::kernels::column_squares::column_squares;
use godwit_shaders::{BufferRef, Matrix, Plan, Upload};

use crate::error::Error;
use crate::model::Llama;
use crate::quantize::InputSquares;
use crate::session::{Session, StepKind};

/// Where the sums of squares of one input go, and whose input it is.
pub(crate) struct Input {
    /// The matrices that it is multiplied with, by GGUF's names.
    names: Vec<String>,
    /// The first part of their weights: the launch that reads it reads the input.
    weights: BufferRef,
    sums: BufferRef,
    width: u32,
}

/// The inputs of all layers' matrices, their sums one behind the other in the buffer `id`; and the
/// buffer's length in bytes.
pub(crate) fn inputs(llama: &Llama, id: u32) -> (Vec<Input>, u64) {
    let mut offset = 0;
    let mut all = Vec::new();
    for (i, layer) in llama.layers.iter().enumerate() {
        let of_layer: [(&Matrix, &[&str]); 4] = [
            (&layer.qkv, &["attn_q", "attn_k", "attn_v"]),
            (&layer.o, &["attn_output"]),
            (&layer.gate, &["ffn_gate", "ffn_up"]),
            (&layer.down, &["ffn_down"]),
        ];
        for (matrix, names) in of_layer {
            let Some(weights) = matrix.shards.first().map(|shard| shard.buffer) else {
                continue;
            };
            let sums = BufferRef {
                id,
                offset,
                bytes: 4 * u64::from(matrix.width),
            };
            offset = (offset + sums.bytes).next_multiple_of(BINDING_ALIGNMENT);
            let names = names
                .iter()
                .map(|name| format!("blk.{i}.{name}.weight"))
                .collect();
            all.push(Input {
                names,
                weights,
                sums,
                width: matrix.width,
            });
        }
    }
    (all, offset)
}

/// The plan with every input's squares summed before it is used.
pub(crate) fn observed(plan: Plan, inputs: &[Input]) -> Plan {
    let mut out = Plan::default();
    let mut uploads = plan.uploads.into_iter().peekable();
    for (i, dispatch) in plan.dispatches.into_iter().enumerate() {
        if dispatch.format.is_some()
            && let Some(input) = inputs
                .iter()
                .find(|input| input.weights == dispatch.buffers[0])
        {
            out.push(column_squares(dispatch.buffers[2], input.sums, input.width));
        }
        while let Some(upload) = uploads.next_if(|upload| upload.before == i) {
            out.uploads.push(Upload {
                before: out.dispatches.len(),
                ..upload
            });
        }
        out.push(dispatch);
    }
    out
}

impl Session {
    /// Begins a new context with `tokens`, and adds the squares of what each matrix is multiplied
    /// with to `squares`.
    ///
    /// # Errors
    /// As [`Session::prefill`], or a matrix's inputs are not finite; then nothing is added. Where
    /// the tokens do not fit, or the sums, the context stays.
    pub async fn observe(
        &mut self,
        tokens: &[u32],
        squares: &mut InputSquares,
    ) -> Result<(), Error> {
        self.check_prompt(tokens)?;
        if self.observed.is_empty() {
            let id = self.table.len() as u32;
            let (inputs, bytes) = inputs(&self.engine().inner.llama, id);
            self.table.declare("input squares", bytes);
            self.allocate_from(id as usize).await?;
            self.observed = inputs;
        }
        self.truncate(0);
        let Some(last) = self.observed.last() else {
            return Ok(());
        };
        let all = BufferRef {
            offset: 0,
            bytes: last.sums.offset + last.sums.bytes,
            ..last.sums
        };
        self.memory
            .write(all, 0, &vec![0; all.bytes as usize])
            .await?;
        let mut done = 0;
        while done < tokens.len() {
            done += self.pass(&tokens[done..], true, StepKind::Observed).await?;
        }
        let found = self.memory.read(all).await?;
        // All are checked before any is added.
        let mut sums_of_inputs: Vec<Vec<f32>> = Vec::new();
        for input in &self.observed {
            let from = input.sums.offset as usize;
            let sums: Vec<f32> =
                bytemuck::pod_collect_to_vec(&found[from..][..input.sums.bytes as usize]);
            if let Some(tensor) = input
                .names
                .first()
                .filter(|_| !sums.iter().all(|sum| sum.is_finite()))
            {
                return Err(Error::InputsNotFinite {
                    tensor: tensor.clone(),
                });
            }
            sums_of_inputs.push(sums);
        }
        for (input, sums) in self.observed.iter().zip(sums_of_inputs) {
            for name in &input.names {
                squares.add(name.clone(), &sums);
            }
        }
        squares.add_tokens(tokens.len());
        Ok(())
    }
}
