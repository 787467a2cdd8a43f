use super::Params;
use crate::kernel::DispatchFixture;
use crate::kernels::attention::ATTENTION;
use crate::kernels::attention::combine::{self, ATTENTION_COMBINE};
use crate::kernels::rope_append::ROPE_APPEND;
use crate::kernels::{attention, rope_append};
use crate::kv::Layout;

/// The references of `rope_append`, `attention` and `attention_combine` in sequence.
pub fn rope_attention(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let with = |params: &[u8], buffers: Vec<Vec<u32>>| DispatchFixture {
        params: params.to_vec(),
        buffers,
        ..fixture.clone()
    };
    let [tables, qkv, k, v, partials, out] =
        [0, 1, 2, 3, 4, 5].map(|i: usize| fixture.buffers[i].clone());

    let no_tail = vec![0; 4];
    let buffers = vec![tables, qkv, k, v, no_tail];
    let mut appended = with(bytemuck::bytes_of(&p.append()), buffers);
    (ROPE_APPEND.reference)(&mut appended);
    let [qkv, k, v] = [1, 2, 3].map(|i: usize| appended.buffers[i].clone());

    let buffers = vec![qkv, k.clone(), v.clone(), partials, out];
    let mut attended = with(bytemuck::bytes_of(&p.attention()), buffers);
    (ATTENTION.reference)(&mut attended);
    let [partials, out] = [3, 4].map(|i: usize| attended.buffers[i].clone());

    fixture.buffers[2] = k;
    fixture.buffers[3] = v;
    if p.write_output == 0 {
        fixture.buffers[4] = partials;
        return;
    }
    let mut combined = DispatchFixture {
        params: bytemuck::bytes_of(&p.combine()).to_vec(),
        buffers: vec![partials, out],
        ..attended
    };
    (ATTENTION_COMBINE.reference)(&mut combined);
    fixture.buffers[5] = combined.buffers.swap_remove(1);
}

impl Params {
    fn append(self) -> rope_append::Params {
        rope_append::Params {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            rotary_dim: self.rotary_dim,
            segment_start: self.segment_start,
            segment_len: self.segment_len,
            k_words: self.k_words,
            v_words: self.v_words,
            k_block: self.k_block,
            v_block: self.v_block,
            tail_len: 0,
            reserved0: 0,
        }
    }

    fn attention(self) -> attention::Params {
        attention::Params {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            splits: self.splits,
            segment_start: self.segment_start,
            segment_len: self.segment_len,
            scale: self.scale,
            is_first_segment: 1,
            k_words: self.k_words,
            v_words: self.v_words,
            q_stride: (self.heads + 2 * self.kv_heads) * self.head_dim,
            tail_block: 1,
            write_output: 0,
            one: 1,
            reserved0: 0,
            reserved1: 0,
        }
    }

    fn combine(self) -> combine::Params {
        combine::Params {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            splits: self.splits,
            block: self.v_block,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        }
    }
}

/// The keys of the segment, decoded.
pub fn cached_keys(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    let layout = Layout {
        keys: true,
        kv_heads: p.kv_heads,
        words: p.k_words,
    };
    layout.read_all(words, p.head_dim)
}

/// The values of the segment, decoded.
pub fn cached_values(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    let layout = Layout {
        keys: false,
        kv_heads: p.kv_heads,
        words: p.v_words,
    };
    layout.read_all(words, p.head_dim)
}
