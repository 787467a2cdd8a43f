//! Checks that no kernel of a plan can form an address that its bindings don't have: Llama-3-8B, 1,048,576 tokens.

use godwit_shaders::caps::{BINDING_ALIGNMENT, WEBGPU};
use godwit_shaders::matmul::Put;
use godwit_shaders::rms_norm::Norm;
use godwit_shaders::rope_append::{Rope, RopeTables};
use godwit_shaders::{Buffers, Caps, Dispatch, Format, KvFormat, KvType, Matrix, Shard};

use super::llama::{Biases, Layer};
use super::{Config, Kv, Llama, Pass, Scratch};
use crate::memory::{MemoryUse, heads};
use crate::synthetic::Synthetic;

const WINDOW: u32 = 1 << 20;

/// Bindings of almost 2^32 bytes, buffers far beyond.
const LARGE: Caps = Caps { max_binding: (1 << 32) - BINDING_ALIGNMENT, max_buffer: 1 << 40, ..WEBGPU };

/// A model's weights as the loader declares them.
fn declared(table: &mut Buffers, config: &Config, kv: KvFormat, caps: &Caps) -> Llama {
    let Config { width, ffn, vocab, eps, .. } = *config;
    let shape = heads(config);
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let format = Format::Q4_K;
    let matrix = |table: &mut Buffers, rows: u32, width: u32| {
        let shard = |(first, rows): (u32, u32)| {
            let bytes = u64::from(rows.div_ceil(32)) * Matrix::tile_bytes(format, width);
            Shard { format, buffer: table.declare("shard", bytes), first, rows }
        };
        let most = caps.max_binding.min(caps.max_buffer);
        let shards = Matrix::shard_rows(format, rows, width, most).into_iter().map(shard).collect();
        Matrix { rows, width, shards }
    };
    let norm = |table: &mut Buffers| Norm { weight: table.declare("norm", 4 * u64::from(width)), width, eps };
    let layer = |_| Layer {
        attn_norm: norm(table),
        qkv: matrix(table, queries + 2 * keys, width),
        o: matrix(table, width, queries),
        ffn_norm: norm(table),
        gate: matrix(table, 2 * ffn, width),
        up: None,
        down: matrix(table, width, ffn),
        biases: Biases::default(),
    };
    let layers = (0..config.layers).map(layer).collect();
    let [embed, head] = [(); 2].map(|()| matrix(table, vocab, width));
    let norm = norm(table);
    let tables = table.declare("rope", RopeTables::bytes(config.rotary_dim, WINDOW));
    Llama { heads: shape, kv, embed, layers, norm, head, rope: Rope { tables, rotary_dim: config.rotary_dim } }
}

/// A parameter of a dispatch.
fn parameter(dispatch: &Dispatch, wanted: &str) -> u64 {
    let (_, at) = dispatch.kernel.params.iter().find(|(name, _)| *name == wanted).expect(wanted);
    u32::from_le_bytes(dispatch.params[*at..at + 4].try_into().expect("four bytes")).into()
}

/// The words after the last that a kernel can name in each of its buffers, by its own formula, in u64; for those that grow.
fn words_named(dispatch: &Dispatch, capacity: u64) -> Vec<(usize, u64)> {
    let of = |name| parameter(dispatch, name);
    match dispatch.kernel.name {
        "attend" => {
            let slots = of("len") * of("kv_heads");
            let rows = of("splits") * of("heads") * capacity;
            vec![(1, slots * of("k_words")), (2, slots * of("v_words")), (3, rows * (of("head_dim") + 2))]
        }
        "rope_attend" => {
            let (slots, heads, dim) = (of("len") * of("kv_heads"), of("heads"), of("head_dim"));
            let rows = 1024 + u64::from(WINDOW / 1024);
            vec![
                (0, rows * of("rotary_dim")),
                (1, (heads + 2 * of("kv_heads")) * dim),
                (2, slots * of("k_words")),
                (3, slots * of("v_words")),
                (4, of("splits") * heads * (dim + 2)),
                (5, heads * dim),
            ]
        }
        "attend_recent" => vec![(1, of("ring") * of("kv_heads") * of("head_dim"))],
        "rope_append" => {
            let slots = of("len") * of("kv_heads");
            // Rows of the tables: 1024 fine ones, and one for each 1024 positions.
            let rows = 1024 + u64::from(WINDOW / 1024);
            let floats = capacity * (of("heads") + 2 * of("kv_heads")) * of("head_dim");
            vec![(0, rows * of("rotary_dim")), (1, floats), (2, slots * of("k_words")), (3, slots * of("v_words"))]
        }
        "matmul" => {
            let words = of("rows").div_ceil(32) * of("row_words") * 32;
            let rows = if of("put") == Put::Pairs as u64 { of("rows") / 2 } else { of("rows") };
            let floats = (capacity - 1) * of("y_width") + of("first") + rows;
            let width = of("groups") * 32;
            vec![(0, words), (1, words), (2, capacity * width), (3, width), (4, floats)]
        }
        _ => Vec::new(),
    }
}

#[test]
fn no_address_of_a_million_tokens_leaves_its_binding() {
    let model = "llama3-8b:q4_k".parse::<Synthetic>().expect("a shape").model().expect("a model");
    let config = model.config();
    for caps in [WEBGPU, LARGE] {
        for kind in KvType::ALL {
            let format = KvFormat { k: kind, v: kind, hadamard: true };
            let mut table = Buffers::default();
            let llama = declared(&mut table, config, format, &caps);
            let chunk = caps.tuning.pass_tokens;
            let scratch = Scratch::declare(&mut table, config, heads(config), format, &caps, chunk, false);
            let mut kv = Kv::new(heads(config), format, config.layers, WINDOW, None, &caps);
            while kv.capacity() < WINDOW {
                kv.grow(&mut table, None);
            }
            // What is added up passes 2^32 by far, and is added up in u64.
            assert!(table.bytes() > 8 << 32);
            assert_eq!(table.bytes(), MemoryUse::estimate(&model, WINDOW, format, &caps).total(), "{kind}");
            for (capacity, segments) in [(1, 1), (1, usize::MAX), (chunk, usize::MAX)] {
                let pass = Pass { capacity, segments, shallow: false, outputs: true };
                for dispatch in llama.transformer(&caps, &kv, &scratch, pass).dispatches {
                    let what = format!("{} of {capacity} tokens, {kind}", dispatch.kernel.name);
                    for buffer in &dispatch.buffers {
                        let (_, bytes) = table.get(buffer.id).expect("it is declared");
                        assert!(buffer.offset + buffer.bytes <= bytes && bytes <= caps.max_buffer, "{what}");
                        assert!(buffer.offset.is_multiple_of(BINDING_ALIGNMENT), "{what}");
                        assert!(buffer.bytes <= caps.max_binding && buffer.bytes < 1 << 32, "{what}");
                    }
                    for (binding, words) in words_named(&dispatch, capacity.into()) {
                        assert!(4 * words <= dispatch.buffers[binding].bytes, "{what}: {words} words of {binding}");
                    }
                    assert!(dispatch.workgroups.iter().all(|&n| n <= caps.max_workgroups), "{what}");
                }
            }
        }
    }
}
