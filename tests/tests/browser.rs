//! Every kernel case, and the rotary phases, in Chromium: through Tint instead of naga, with the same bounds.

use godwit_shaders::caps::WEBGPU;
use godwit_shaders::rope_append::ROPE_APPEND;
use godwit_shaders::{Case, KERNELS, Kernel};
use godwit_tests::{browser, cases, phases};

#[test]
fn kernels_and_phases_in_chromium() {
    let mut all: Vec<(&'static Kernel, Case)> = Vec::new();
    for &kernel in &KERNELS {
        let cases = (kernel.cases)().into_iter().filter(|case| kernel.variants[case.variant].runs_on(&WEBGPU));
        all.extend(cases.map(|case| (kernel, case)));
    }
    let kernels = all.len();
    // The largest position whose tables are sent each time in a moment.
    let probes = phases::THETAS.map(|theta| phases::cases(theta, 20));
    for probe in &probes {
        all.extend(probe.iter().map(|case| (&ROPE_APPEND, case.clone())));
    }
    let results = browser::run(&all);
    let mut faults = Vec::new();
    for ((kernel, case), result) in all.iter().zip(&results).take(kernels) {
        let checked = result.as_ref().map_err(Clone::clone).and_then(|outcome| cases::check(kernel, case, outcome));
        if let Err(fault) = checked {
            faults.push(format!("{} {}: {fault}", kernel.name, case.name));
        }
    }
    assert!(faults.is_empty(), "{} of {kernels} cases fail:\n{}", faults.len(), faults.join("\n"));
    let outcomes: Vec<_> = results.into_iter().skip(kernels).map(|result| result.expect("it runs")).collect();
    for (theta, (probe, outcomes)) in
        phases::THETAS.into_iter().zip(probes.iter().zip(outcomes.chunks(outcomes.len() / 2)))
    {
        let worst = phases::worst(theta, probe, outcomes);
        println!("theta {theta}: largest error {worst:.2e} in Chromium");
        assert!(worst < 1e-6, "theta {theta}: {worst:e}");
    }
    println!("{kernels} cases pass in Chromium");
}
