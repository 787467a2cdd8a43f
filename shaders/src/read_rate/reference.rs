use super::Params;
use crate::kernel::Scene;

/// The sums, word by word.
pub fn read_rate(scene: &mut Scene) {
    let p: Params = scene.params();
    for lane in 0..p.lanes as usize {
        let quads = scene.buffers[0].chunks_exact(4).take(p.quads as usize).skip(lane).step_by(p.lanes as usize);
        scene.buffers[1][lane] = quads.flatten().fold(0, |sum: u32, word| sum.wrapping_add(*word));
    }
}
