use super::{CHOSEN, Params};
use crate::kernel::DispatchFixture;
use crate::weights::{GROUP, unpack_row};

/// Copies rows of the dequantised matrix.
pub fn embed(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let Some(format) = fixture.format else { return };
    let width = p.groups_per_row as usize * GROUP;
    for t in 0..fixture.step.count as usize {
        let mut token = fixture.buffers[2][t];
        if token >= CHOSEN && token - CHOSEN < p.chosen_len {
            token = fixture.buffers[3][(token - CHOSEN) as usize];
        }
        let row = token.wrapping_sub(p.first_row);
        if row < p.rows {
            let weights = unpack_row(format, width, &fixture.buffers[0], row as usize);
            fixture.floats_mut(4)[t * width..][..width].copy_from_slice(&weights);
        }
    }
}
