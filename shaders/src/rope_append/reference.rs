use half::f16;

use super::Params;
use crate::kernel::Scene;

/// Rotates pair by pair in f64, from the tables.
pub fn rope_append(scene: &mut Scene) {
    let p: Params = scene.params();
    let (pairs, words) = ((p.rotary_dim / 2) as usize, (p.head_dim / 2) as usize);
    let (heads, kv_heads) = (p.heads as usize, p.kv_heads as usize);
    let tables: Vec<f64> = scene.floats(0).iter().map(|&f| f.into()).collect();
    let rotate = |pair: [f32; 2], position: usize, i: usize| -> [f32; 2] {
        if i >= pairs {
            return pair;
        }
        let at = |row: usize| (tables[(row * pairs + i) * 2], tables[(row * pairs + i) * 2 + 1]);
        let ((c0, s0), (c1, s1)) = (at(position % 1024), at(1024 + position / 1024));
        let (cos, sin) = (c0 * c1 - s0 * s1, c0 * s1 + s0 * c1);
        let [x, y] = pair.map(f64::from);
        [(x * cos - y * sin) as f32, (x * sin + y * cos) as f32]
    };
    let pack = |[x, y]: [f32; 2]| u32::from(f16::from_f32(x).to_bits()) | u32::from(f16::from_f32(y).to_bits()) << 16;
    for t in 0..scene.step.count as usize {
        let position = scene.step.position as usize + t;
        for i in 0..heads * words {
            let at = 2 * (t * heads * words + i);
            let q = scene.floats_mut(3);
            let turned = rotate([q[at], q[at + 1]], position, i % words);
            q[at..at + 2].copy_from_slice(&turned);
        }
        let Some(slot) = position.checked_sub(p.first as usize).filter(|&s| s < p.len as usize) else { continue };
        for i in 0..kv_heads * words {
            let at = 2 * (t * kv_heads * words + i);
            let (head, word) = (i / words, i % words);
            let k = rotate([scene.floats(1)[at], scene.floats(1)[at + 1]], position, word);
            let v = [scene.floats(2)[at], scene.floats(2)[at + 1]];
            scene.buffers[4][((slot / 32 * kv_heads + head) * words + word) * 32 + slot % 32] = pack(k);
            scene.buffers[5][slot * kv_heads * words + i] = pack(v);
        }
    }
}
