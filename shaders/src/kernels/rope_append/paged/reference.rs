use super::Params;
use crate::kernel::DispatchFixture;
use crate::kv::{BatchRow, Layout, hadamard};

/// Rotates pair by pair in f64, from the tables.
pub fn rope_append_paged(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let pairs = (p.rotary_dim / 2) as usize;
    let (heads, kv_heads) = (p.heads as usize, p.kv_heads as usize);
    let dim = p.head_dim as usize;
    let tables: Vec<f64> = fixture.floats(0).iter().map(|&f| f.into()).collect();
    let rotate = |vector: &mut [f32], position: usize| {
        for (i, pair) in vector.chunks_exact_mut(2).take(pairs).enumerate() {
            let rotation = |row: usize| {
                let cos = (row * pairs + i) * 2;
                (tables[cos], tables[cos + 1])
            };
            let (c0, s0) = rotation(position % 1024);
            let (c1, s1) = rotation(1024 + position / 1024);
            let (cos, sin) = (c0 * c1 - s0 * s1, c0 * s1 + s0 * c1);
            let (x, y) = (f64::from(pair[0]), f64::from(pair[1]));
            pair.copy_from_slice(&[(x * cos - y * sin) as f32, (x * sin + y * cos) as f32]);
        }
    };
    let rows: Vec<BatchRow> = bytemuck::cast_slice(&fixture.buffers[4]).to_vec();
    for (t, row) in rows.iter().enumerate().take(fixture.step.count as usize) {
        let position = row.position as usize;
        let row_at = t * (heads + 2 * kv_heads) * dim;
        if p.rotate_queries == 1 {
            for q in fixture.floats_mut(1)[row_at..][..heads * dim].chunks_exact_mut(dim) {
                rotate(q, position);
                hadamard(q, p.k_block);
            }
        }
        let slot = row.slot.checked_sub(p.segment_start);
        let Some(slot) = slot.filter(|&slot| slot < p.segment_len) else {
            continue;
        };
        for head in 0..p.kv_heads {
            let at = row_at + (heads + head as usize) * dim;
            let mut k = fixture.floats(1)[at..at + dim].to_vec();
            rotate(&mut k, position);
            hadamard(&mut k, p.k_block);
            let mut v = fixture.floats(1)[at + kv_heads * dim..][..dim].to_vec();
            hadamard(&mut v, p.v_block);
            layout(&p, true).write(&mut fixture.buffers[2], slot, head, &k);
            layout(&p, false).write(&mut fixture.buffers[3], slot, head, &v);
        }
    }
}

/// The layout of a segment's keys, or of its values.
fn layout(p: &Params, keys: bool) -> Layout {
    Layout {
        keys,
        kv_heads: p.kv_heads,
        words: if keys { p.k_words } else { p.v_words },
    }
}

/// The keys of a segment, decoded.
pub fn cached_keys(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    layout(&p, true).read_all(words, p.head_dim)
}

/// The values of a segment, decoded.
pub fn cached_values(fixture: &DispatchFixture, words: &[u32]) -> Vec<f64> {
    let p: Params = fixture.params();
    layout(&p, false).read_all(words, p.head_dim)
}
