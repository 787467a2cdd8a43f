use super::Params;
use crate::kernel::DispatchFixture;

/// The sums, word by word.
pub fn read_rate(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    for lane in 0..p.lanes as usize {
        let quads = fixture.buffers[0]
            .chunks_exact(4)
            .take(p.quads as usize)
            .skip(lane)
            .step_by(p.lanes as usize);
        fixture.buffers[1][lane] = quads
            .flatten()
            .fold(0, |sum: u32, word| sum.wrapping_add(*word));
    }
}
