//! Every address that every case of every kernel forms, held against what the kernel declares.
//!
//! `GODWIT_ADAPTER` picks an adapter by name, `VK_DRIVER_FILES` a Vulkan driver.

use std::sync::Arc;

use godwit::low_level::gpu::{Gpu, GpuOptions};
use godwit_shaders::{KERNELS, WeightFormat};
use godwit_tests::addresses;
use libtest_mimic::{Arguments, Trial};
use pollster::block_on;

/// Devices that cases are run on side by side, at most.
const DEVICES: usize = 4;

/// Whether a variant's addresses are measured with a format. A format's loads are the same text in
/// all variants, and each takes seconds to compile: all formats count in one variant that loads 32
/// bits at a time, one that loads 64, and one for many tokens.
fn counts(variant: &str, format: Option<WeightFormat>) -> bool {
    let is_usual = format.is_none_or(|format| {
        matches!(
            format,
            WeightFormat::Q4_1 | WeightFormat::Q4_K | WeightFormat::Q5_K
        )
    });
    is_usual || matches!(variant, "gemv" | "cpu_gemv_subgroup" | "gemm" | "base")
}

fn main() {
    let arguments = Arguments::from_args();
    let devices =
        std::thread::available_parallelism().map_or(1, |threads| threads.get().min(DEVICES));
    let options = GpuOptions::default().adapter(std::env::var("GODWIT_ADAPTER").ok());
    let open = |_| match block_on(Gpu::open(&options)) {
        Ok(gpu) => Arc::new(gpu),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let gpus: Vec<Arc<Gpu>> = (0..devices).map(open).collect();
    let mut trials = Vec::new();
    let mut elsewhere = 0;
    for &kernel in &KERNELS {
        for case in (kernel.cases)() {
            if !counts(kernel.variants[case.variant].name, case.fixture.format) {
                continue;
            }
            if !addresses::runs_on(kernel, &case, &gpus[0]) {
                elsewhere += 1;
                continue;
            }
            let name = format!(
                "{}.{}::{}",
                kernel.name, kernel.variants[case.variant].name, case.name
            );
            let gpu = Arc::clone(&gpus[trials.len() % devices]);
            trials.push(Trial::test(name, move || {
                Ok(block_on(addresses::check(&gpu, kernel, &case))?)
            }));
        }
    }
    if elsewhere > 0 {
        eprintln!("{elsewhere} cases are of variants that need more than this adapter has");
    }
    libtest_mimic::run(&arguments, trials).exit();
}
