//! Sums of squares of what each matrix is multiplied with: what calibration measures.

use godwit_shaders::capabilities::BINDING_ALIGNMENT;
use godwit_shaders::kernels::column_squares::column_squares;
use godwit_shaders::{BufferRef, Matrix, Plan, Upload};

use crate::model::Llama;

/// Where the sums of squares of one input go, and whose input it is.
pub(crate) struct Input {
    /// The matrices that it is multiplied with, by GGUF's names.
    pub names: Vec<String>,
    /// The first part of their weights: the dispatch that reads it reads the input.
    weights: BufferRef,
    pub sums: BufferRef,
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
pub(crate) fn with_input_squares(plan: Plan, inputs: &[Input]) -> Plan {
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
