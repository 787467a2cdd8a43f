use super::{Choice, NO_TOKEN, Params, has_no_choice};
use crate::kernel::DispatchFixture;

/// Sorts the tokens, cuts them off, and walks the rest in the kernel's order, all in f64.
pub fn sample(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let choice: Choice =
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&fixture.buffers[0][..12]));
    if has_no_choice(&fixture.floats(1)[..p.vocab as usize]) {
        fixture.floats_mut(2)[..p.vocab as usize].fill(0.0);
        fixture.buffers[3][0] = NO_TOKEN;
        return;
    }
    let logits: Vec<f64> = fixture.floats(1)[..p.vocab as usize]
        .iter()
        .map(|&l| l.into())
        .collect();
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|l| ((l - largest) / f64::from(choice.temperature)).exp())
        .collect();
    let mut sorted = weights.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if choice.top_k > 0 {
        sorted.truncate(choice.top_k as usize);
    }
    let wanted = f64::from(choice.top_p) * sorted.iter().sum::<f64>();
    let mut reached = 0.0;
    let kept = sorted.iter().take_while(|&&w| {
        let before = reached;
        reached += w;
        choice.top_p >= 1.0 || before < wanted
    });
    let least = kept
        .last()
        .copied()
        .unwrap_or(1.0)
        .max(f64::from(choice.min_p));
    let vectors = |invocation: usize| (4 * invocation..weights.len()).step_by(1024);
    let ids = |first: usize| first..(first + 4).min(weights.len());
    let order = || {
        (0..256)
            .flat_map(vectors)
            .flat_map(ids)
            .filter(|&i| weights[i] >= least)
    };
    let mut rest = f64::from(choice.uniform) * order().map(|i| weights[i]).sum::<f64>();
    let drawn = order().find(|&i| {
        rest -= weights[i];
        rest < 0.0
    });
    for (slot, weight) in fixture.floats_mut(2).iter_mut().zip(&weights) {
        *slot = *weight as f32;
    }
    fixture.buffers[3][0] = drawn.unwrap_or(0) as u32;
}
