//! Every kernel, variant and case against its f64 reference, under the adapter's limits and under the WebGPU defaults.
//!
//! `GODWIT_ADAPTER` picks an adapter by name, `VK_DRIVER_FILES` a Vulkan driver. Outputs lie between guard words that must
//! stay as they are; every dispatch runs twice from the same state and must give the same bits.

use std::sync::Arc;

use godwit::gpu::{Gpu, GpuOptions};
use godwit_shaders::KERNELS;
use godwit_tests::cases;
use libtest_mimic::{Arguments, Trial};
use pollster::block_on;

/// Devices that cases are run on side by side, at most.
const DEVICES: usize = 4;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut elsewhere = 0;
    // Software drivers compile one kernel at a time on each device, and compiling is most of the work.
    let devices = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(DEVICES));
    for webgpu_limits in [false, true] {
        let options =
            GpuOptions { adapter: std::env::var("GODWIT_ADAPTER").ok(), webgpu_limits, ..GpuOptions::default() };
        let gpus: Vec<Arc<Gpu>> = (0..devices)
            .map(|_| match block_on(Gpu::open(&options)) {
                Ok(gpu) => Arc::new(gpu),
                Err(error) => {
                    eprintln!("{error}");
                    std::process::exit(1);
                }
            })
            .collect();
        let limits = if webgpu_limits { "webgpu" } else { "adapter" };
        for &kernel in &KERNELS {
            for case in (kernel.cases)() {
                // What the adapter hasn't, kernels don't use on it.
                if !kernel.variants[case.variant].runs_on(gpus[0].caps()) {
                    elsewhere += 1;
                    continue;
                }
                let variant = kernel.variants[case.variant].name;
                let name = format!("{limits}::{}.{variant}::{}", kernel.name, case.name);
                let gpu = Arc::clone(&gpus[trials.len() % devices]);
                trials.push(Trial::test(name, move || {
                    let outcome = cases::run(&gpu, kernel, &case)?;
                    Ok(cases::check(kernel, &case, &outcome)?)
                }));
            }
        }
    }
    if elsewhere > 0 {
        eprintln!("{elsewhere} cases are of variants that need more than this adapter has");
    }
    libtest_mimic::run(&arguments, trials).exit();
}
