use super::Params;
use crate::kernel::DispatchFixture;
use crate::kernels::attention::ATTENTION;
use crate::kernels::attention::combine as attention_combine;
use crate::kernels::attention::combine::ATTENTION_COMBINE;
use crate::kernels::rope_append::ROPE_APPEND;
use crate::kernels::{attention, rope_append};
use crate::kv::Layout;

/// What `rope_append`, `attention` and `attention_combine` do, one after the other.
pub fn rope_attention(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let then = |params: &[u8], buffers: Vec<Vec<u32>>| DispatchFixture {
        params: params.to_vec(),
        buffers,
        ..fixture.clone()
    };
    let [tables, qkv, k, v, states, y] =
        [0, 1, 2, 3, 4, 5].map(|i: usize| fixture.buffers[i].clone());

    let mut appended = then(
        bytemuck::bytes_of(&p.append()),
        vec![tables, qkv, k, v, vec![0; 4]],
    );
    (ROPE_APPEND.reference)(&mut appended);
    let [qkv, k, v] = [1, 2, 3].map(|i: usize| appended.buffers[i].clone());

    let mut attended = then(
        bytemuck::bytes_of(&p.attention()),
        vec![qkv, k.clone(), v.clone(), states, y],
    );
    (ATTENTION.reference)(&mut attended);
    let [states, y] = [3, 4].map(|i: usize| attended.buffers[i].clone());

    fixture.buffers[2] = k;
    fixture.buffers[3] = v;
    if p.finish == 0 {
        fixture.buffers[4] = states;
        return;
    }
    let mut merged = DispatchFixture {
        params: bytemuck::bytes_of(&p.merge()).to_vec(),
        buffers: vec![states, y],
        ..attended
    };
    (ATTENTION_COMBINE.reference)(&mut merged);
    fixture.buffers[5] = merged.buffers.swap_remove(1);
}

impl Params {
    fn append(self) -> rope_append::Params {
        let Self {
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            first,
            len,
            k_words,
            v_words,
            k_block,
            v_block,
            ..
        } = self;
        let (ring, reserved0) = (0, 0);
        rope_append::Params {
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            first,
            len,
            k_words,
            v_words,
            k_block,
            v_block,
            ring,
            reserved0,
        }
    }

    fn attention(self) -> attention::Params {
        let Self {
            heads,
            kv_heads,
            head_dim,
            splits,
            first,
            len,
            k_words,
            v_words,
            scale,
            ..
        } = self;
        attention::Params {
            heads,
            kv_heads,
            head_dim,
            splits,
            first,
            len,
            scale,
            fresh: 1,
            k_words,
            v_words,
            q_width: (heads + 2 * kv_heads) * head_dim,
            page: 1,
            finish: 0,
            one: 1,
            reserved0: 0,
            reserved1: 0,
        }
    }

    fn merge(self) -> attention_combine::Params {
        let Self {
            heads,
            kv_heads,
            head_dim,
            splits,
            ..
        } = self;
        let (block, reserved0, reserved1, reserved2) = (self.v_block, 0, 0, 0);
        attention_combine::Params {
            heads,
            kv_heads,
            head_dim,
            splits,
            block,
            reserved0,
            reserved1,
            reserved2,
        }
    }
}

/// The cached keys that `words` hold.
pub fn cached_keys(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    Layout {
        keys: true,
        kv_heads: p.kv_heads,
        words: p.k_words,
    }
    .read_all(words, p.head_dim)
}

/// The cached values.
pub fn cached_values(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    Layout {
        keys: false,
        kv_heads: p.kv_heads,
        words: p.v_words,
    }
    .read_all(words, p.head_dim)
}
