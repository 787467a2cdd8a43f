use super::Params;
use crate::format::GROUP;
use crate::kernel::Scene;
use crate::weights::unpack_row;

/// Copies rows of the dequantised matrix.
pub fn embed(scene: &mut Scene) {
    let p: Params = scene.params();
    let Some(format) = scene.format else { return };
    let width = p.groups as usize * GROUP;
    for t in 0..scene.step.count as usize {
        let row = scene.buffers[2][t].wrapping_sub(p.first);
        if row < p.rows {
            let weights = unpack_row(format, width, &scene.buffers[0], row as usize);
            scene.floats_mut(3)[t * width..][..width].copy_from_slice(&weights);
        }
    }
}
