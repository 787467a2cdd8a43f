use super::Params;
use crate::attend::ATTEND;
use crate::attend_merge::ATTEND_MERGE;
use crate::kernel::Scene;
use crate::kv::Layout;
use crate::rope_append::ROPE_APPEND;
use crate::{attend, attend_merge, rope_append};

/// What `rope_append`, `attend` and `attend_merge` do, one after the other.
pub fn rope_attend(scene: &mut Scene) {
    let p: Params = scene.params();
    let then = |params: &[u8], buffers: Vec<Vec<u32>>| Scene { params: params.to_vec(), buffers, ..scene.clone() };
    let [tables, qkv, k, v, states, y] = [0, 1, 2, 3, 4, 5].map(|i: usize| scene.buffers[i].clone());

    let mut appended = then(bytemuck::bytes_of(&p.append()), vec![tables, qkv, k, v, vec![0; 4]]);
    (ROPE_APPEND.reference)(&mut appended);
    let [qkv, k, v] = [1, 2, 3].map(|i: usize| appended.buffers[i].clone());

    let mut attended = then(bytemuck::bytes_of(&p.attend()), vec![qkv, k.clone(), v.clone(), states, y]);
    (ATTEND.reference)(&mut attended);
    let [states, y] = [3, 4].map(|i: usize| attended.buffers[i].clone());

    scene.buffers[2] = k;
    scene.buffers[3] = v;
    if p.finish == 0 {
        scene.buffers[4] = states;
        return;
    }
    let mut merged = Scene { params: bytemuck::bytes_of(&p.merge()).to_vec(), buffers: vec![states, y], ..attended };
    (ATTEND_MERGE.reference)(&mut merged);
    scene.buffers[5] = merged.buffers.swap_remove(1);
}

impl Params {
    fn append(self) -> rope_append::Params {
        let Self { heads, kv_heads, head_dim, rotary_dim, first, len, k_words, v_words, k_block, v_block, .. } = self;
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

    fn attend(self) -> attend::Params {
        let Self { heads, kv_heads, head_dim, splits, first, len, k_words, v_words, scale, .. } = self;
        attend::Params {
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

    fn merge(self) -> attend_merge::Params {
        let Self { heads, kv_heads, head_dim, splits, .. } = self;
        let (block, reserved0, reserved1, reserved2) = (self.v_block, 0, 0, 0);
        attend_merge::Params { heads, kv_heads, head_dim, splits, block, reserved0, reserved1, reserved2 }
    }
}

/// The cached keys that `words` hold.
pub fn cached_keys(scene: &Scene, words: &[u32]) -> Vec<f64> {
    let p: Params = scene.params();
    Layout { keys: true, kv_heads: p.kv_heads, words: p.k_words }.read_all(words, p.head_dim)
}

/// The cached values.
pub fn cached_values(scene: &Scene, words: &[u32]) -> Vec<f64> {
    let p: Params = scene.params();
    Layout { keys: false, kv_heads: p.kv_heads, words: p.v_words }.read_all(words, p.head_dim)
}
