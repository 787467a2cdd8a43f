//! Every kernel case that a browser may run, and the rotary phases, through Tint instead of naga,
//! with the same bounds.

use godwit_shaders::capabilities::WEBGPU;
use godwit_shaders::kernels::rope_append::ROPE_APPEND;
use godwit_shaders::{Capabilities, Case, KERNELS, Kernel, Variant};
use godwit_tests::browser::Host;
use godwit_tests::{browser, cases, phases};

/// The cases of variants like this.
fn of_variants(wanted: impl Fn(&Variant) -> bool) -> Vec<(&'static Kernel, Case)> {
    let of_kernel =
        |&kernel: &&'static Kernel| (kernel.cases)().into_iter().map(move |case| (kernel, case));
    KERNELS
        .iter()
        .flat_map(of_kernel)
        .filter(|(kernel, case)| wanted(&kernel.variants[case.variant]))
        .collect()
}

/// Fails where one of the results isn't what its case wants.
fn check(all: &[(&'static Kernel, Case)], results: &[Result<Vec<Vec<u32>>, String>]) {
    let mut causes = Vec::new();
    for ((kernel, case), result) in all.iter().zip(results) {
        let checked = result
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|outcome| cases::check(kernel, case, outcome));
        if let Err(cause) = checked {
            causes.push(format!("{} {}: {cause}", kernel.name, case.name));
        }
    }
    assert!(
        causes.is_empty(),
        "{} of {} cases fail:\n{}",
        causes.len(),
        all.len(),
        causes.join("\n")
    );
}

/// SwiftShader has no f16 arithmetic: in Dawn, on this machine's own driver.
#[test]
fn kernels_in_f16_in_dawn() {
    let f16 = Capabilities {
        shader_f16: true,
        ..WEBGPU
    };
    let all = of_variants(|variant| variant.runs_on(&f16) && !variant.runs_on(&WEBGPU));
    assert!(!all.is_empty());
    check(&all, &browser::run(Host::Dawn, &all));
    println!("{} cases pass in Dawn", all.len());
}

#[test]
fn kernels_and_phases_in_chromium() {
    let mut all = of_variants(|variant| variant.runs_on(&WEBGPU));
    let kernels = all.len();
    // The largest position whose tables are sent each time in a moment.
    let probes = phases::THETAS.map(|theta| phases::cases(theta, 20));
    for probe in &probes {
        all.extend(probe.iter().map(|case| (&ROPE_APPEND, case.clone())));
    }
    let results = browser::run(Host::Chromium, &all);
    check(&all[..kernels], &results[..kernels]);
    let outcomes: Vec<_> = results
        .into_iter()
        .skip(kernels)
        .map(|result| result.expect("it runs"))
        .collect();
    for (theta, (probe, outcomes)) in phases::THETAS
        .into_iter()
        .zip(probes.iter().zip(outcomes.chunks(outcomes.len() / 2)))
    {
        let worst = phases::worst(theta, probe, outcomes);
        println!("theta {theta}: largest error {worst:.2e} in Chromium");
        assert!(worst < 1e-6, "theta {theta}: {worst:e}");
    }
    println!("{kernels} cases pass in Chromium");
}
