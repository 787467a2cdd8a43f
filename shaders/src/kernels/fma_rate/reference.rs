use super::{CHAINS, Params};
use crate::kernel::DispatchFixture;

/// The recurrence in f64.
pub fn fma_rate(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    for invocation in 0..p.invocations {
        let chains = (0..CHAINS).map(|chain| {
            let start = f64::from(invocation % 64 + chain);
            (0..8 * p.rounds).fold(start, |x, _| x * f64::from(p.factor) + f64::from(p.term))
        });
        fixture.floats_mut(0)[invocation as usize] = chains.sum::<f64>() as f32;
    }
}
