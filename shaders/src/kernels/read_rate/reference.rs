use super::Params;
use crate::kernel::DispatchFixture;

/// The sums, word by word.
pub fn read_rate(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    for invocation in 0..p.invocations as usize {
        let vec4s = fixture.buffers[0]
            .chunks_exact(4)
            .take(p.vec4s as usize)
            .skip(invocation)
            .step_by(p.invocations as usize);
        fixture.buffers[1][invocation] = vec4s
            .flatten()
            .fold(0, |sum: u32, word| sum.wrapping_add(*word));
    }
}
