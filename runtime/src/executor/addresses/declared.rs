//! A model's buffers, as sizes without memory.

use super::*;

/// The differences between models of the same shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) format: WeightFormat,
    pub(super) kv: KvFormat,
    /// Biases everywhere: then the gate and the up projection are two matrices.
    pub(super) has_biases: bool,
    /// The gate and the up projection are two matrices without biases.
    pub(super) is_gated: bool,
}

/// A model's weights as the loader declares them.
pub(super) fn declared(
    table: &mut Buffers,
    config: &Config,
    kind: Kind,
    caps: &Capabilities,
) -> Llama {
    let Config {
        width,
        ffn,
        vocab,
        eps,
        ..
    } = *config;
    let shape = heads(config);
    let (queries, keys) = (
        shape.heads * shape.head_dim,
        shape.kv_heads * shape.head_dim,
    );
    let matrix = |table: &mut Buffers, rows: u32, width: u32| {
        // Rows are whole blocks.
        let format = if width.is_multiple_of(kind.format.block_len() as u32) {
            kind.format
        } else {
            WeightFormat::Q4_1
        };
        let shard = |(first, rows): (u32, u32)| {
            let bytes = u64::from(rows.div_ceil(32)) * Matrix::tile_bytes(format, width);
            Shard {
                format,
                buffer: table.declare("shard", bytes),
                first,
                rows,
            }
        };
        let most = caps.max_binding.min(caps.max_buffer);
        let shards = Matrix::shard_rows(format, rows, width, most)
            .into_iter()
            .map(shard)
            .collect();
        Matrix {
            rows,
            width,
            shards,
        }
    };
    let floats = |table: &mut Buffers, len: u32| table.declare("floats", 4 * u64::from(len));
    let norm = |table: &mut Buffers| Norm {
        weight: floats(table, width),
        width,
        eps,
    };
    let biases = |table: &mut Buffers| Biases {
        qkv: Some(floats(table, queries + 2 * keys)),
        o: Some(floats(table, width)),
        gate_and_up: Some(GateBiases {
            gate: floats(table, ffn),
            up: floats(table, ffn),
        }),
        down: Some(floats(table, width)),
    };
    let layer = |_| {
        let is_apart = kind.has_biases || kind.is_gated;
        Layer {
            attn_norm: norm(table),
            qkv: matrix(table, queries + 2 * keys, width),
            o: matrix(table, width, queries),
            ffn_norm: norm(table),
            gate: matrix(table, if is_apart { ffn } else { 2 * ffn }, width),
            up: is_apart.then(|| matrix(table, ffn, width)),
            down: matrix(table, width, ffn),
            biases: if kind.has_biases {
                biases(table)
            } else {
                Biases::default()
            },
        }
    };
    let layers = (0..config.layers).map(layer).collect();
    let [embed, head] = [(); 2].map(|()| matrix(table, vocab, width));
    let norm = norm(table);
    let tables = table.declare("rope", RopeTables::bytes(config.rotary_dim, config.context));
    let rope = Rope {
        tables,
        rotary_dim: config.rotary_dim,
    };
    Llama {
        shape,
        kv: kind.kv,
        embed,
        layers,
        norm,
        head,
        rope,
    }
}
