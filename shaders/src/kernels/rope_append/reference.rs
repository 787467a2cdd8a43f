use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::{KvType, Layout, hadamard};

/// Rotates pair by pair in f64, from the tables.
pub fn rope_append(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let pairs = (p.rotary_dim / 2) as usize;
    let heads = p.heads as usize;
    let kv_heads = p.kv_heads as usize;
    let dim = p.head_dim as usize;
    let tables: Vec<f64> = fixture.floats(0).iter().map(|&f| f.into()).collect();
    let rotate = |vector: &mut [f32], position: usize| {
        for (i, pair) in vector.chunks_exact_mut(2).take(pairs).enumerate() {
            let at = |row: usize| {
                let cos = (row * pairs + i) * 2;
                (tables[cos], tables[cos + 1])
            };
            let (c0, s0) = at(position % 1024);
            let (c1, s1) = at(1024 + position / 1024);
            let (cos, sin) = (c0 * c1 - s0 * s1, c0 * s1 + s0 * c1);
            let (x, y) = (f64::from(pair[0]), f64::from(pair[1]));
            pair.copy_from_slice(&[(x * cos - y * sin) as f32, (x * sin + y * cos) as f32]);
        }
    };
    for t in 0..fixture.step.count as usize {
        let position = fixture.step.position as usize + t;
        let token_at = t * (heads + 2 * kv_heads) * dim;
        for q in fixture.floats_mut(1)[token_at..][..heads * dim].chunks_exact_mut(dim) {
            rotate(q, position);
            hadamard(q, p.k_block);
        }
        let slot = (position as u32)
            .checked_sub(p.segment_start)
            .filter(|&slot| slot < p.segment_len);
        for head in 0..p.kv_heads {
            let at = token_at + (heads + head as usize) * dim;
            let mut k = fixture.floats(1)[at..at + dim].to_vec();
            rotate(&mut k, position);
            hadamard(&mut k, p.k_block);
            let mut v = fixture.floats(1)[at + kv_heads * dim..][..dim].to_vec();
            hadamard(&mut v, p.v_block);
            if p.tail_len > 0 {
                for (ring, vector) in [(0, &k), (p.tail_len, &v)] {
                    let row = (ring + position as u32 % p.tail_len) * p.kv_heads + head;
                    let packed = KvType::F16.encode(vector);
                    let word = row as usize * dim / 2;
                    fixture.buffers[4][word..][..dim / 2].copy_from_slice(&packed);
                }
            }
            if let Some(slot) = slot {
                keys(&p).write(&mut fixture.buffers[2], slot, head, &k);
                values(&p).write(&mut fixture.buffers[3], slot, head, &v);
            }
        }
    }
}

fn keys(p: &Params) -> Layout {
    Layout {
        keys: true,
        kv_heads: p.kv_heads,
        words: p.k_words,
    }
}

fn values(p: &Params) -> Layout {
    Layout {
        keys: false,
        kv_heads: p.kv_heads,
        words: p.v_words,
    }
}

/// The keys of a segment, decoded.
pub fn cached_keys(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    keys(&p).read_all(words, p.head_dim)
}

/// The values of a segment, decoded.
pub fn cached_values(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    values(&p).read_all(words, p.head_dim)
}

/// The floats of the f16 tail.
pub fn tail_floats(_: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    KvType::F16
        .decode(words, 2 * words.len() as u32)
        .into_iter()
        .map(f64::from)
        .collect()
}
