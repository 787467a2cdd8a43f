//! Every kernel, variant and case against its f64 reference: under the WebGPU defaults, but for
//! variants that need more, which run under the adapter's limits.
//!
//! `GODWIT_ADAPTER` picks an adapter by name, `VK_DRIVER_FILES` a Vulkan driver. Outputs lie
//! between guard words that must stay as they are, and may be read without any effect; every
//! dispatch runs three times from the same state and must give the same bits. `row_by_row` tests
//! that matmuls of a few rows give each row the bits that it has alone.

use std::sync::Arc;

use godwit::low_level::gpu::{Gpu, GpuOptions};
use godwit_shaders::KERNELS;
use godwit_shaders::kernels::matmul::{MATMUL, RowByRow, row_by_row};
use godwit_tests::cases;
use libtest_mimic::{Arguments, Trial};
use pollster::block_on;

/// Devices that cases are run on side by side, at most.
const DEVICES: usize = 4;

fn main() {
    let arguments = Arguments::from_args();
    // Software drivers compile one kernel at a time on each device, and compiling is most of the
    // work.
    let devices =
        std::thread::available_parallelism().map_or(1, |threads| threads.get().min(DEVICES));
    let open = |webgpu_limits| -> Vec<Arc<Gpu>> {
        let options = GpuOptions::default()
            .adapter(std::env::var("GODWIT_ADAPTER").ok())
            .webgpu_limits(webgpu_limits);
        let gpu = |_| match block_on(Gpu::open(&options)) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
        (0..devices).map(gpu).collect()
    };
    let limits = [("webgpu", open(true)), ("adapter", open(false))];
    let mut trials = Vec::new();
    let mut elsewhere = 0;
    for &kernel in &KERNELS {
        for case in (kernel.cases)() {
            let variant = &kernel.variants[case.variant];
            // Kernels use no feature that the adapter lacks.
            let Some((limits, gpus)) = limits
                .iter()
                .find(|(_, gpus)| variant.runs_on(gpus[0].caps()))
            else {
                elsewhere += 1;
                continue;
            };
            let name = format!("{limits}::{}.{}::{}", kernel.name, variant.name, case.name);
            let gpu = Arc::clone(&gpus[trials.len() % devices]);
            trials.push(Trial::test(name, move || {
                let outcome = cases::run(&gpu, kernel, &case)?;
                Ok(cases::check(kernel, &case, &outcome)?)
            }));
        }
    }
    for (i, rows) in row_by_row().into_iter().enumerate() {
        let gpu = Arc::clone(&limits[1].1[i % devices]);
        let variant = &MATMUL.variants[rows.together.variant];
        if variant.runs_on(gpu.caps()) {
            let name = format!("row_by_row::{}::{}", variant.name, rows.together.name);
            trials.push(Trial::test(name, move || {
                Ok(has_the_same_bits(&gpu, &rows)?)
            }));
        } else {
            elsewhere += 1;
        }
    }
    if elsewhere > 0 {
        eprintln!("{elsewhere} cases are of variants that need more than this adapter has");
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Checks that each row of `x` has the same product in company as alone, to the bit.
fn has_the_same_bits(gpu: &Gpu, rows: &RowByRow) -> Result<(), String> {
    let outputs = |case| {
        let buffers = cases::run(gpu, &MATMUL, case)?;
        let words = case.fixture.buffers[4].len();
        Ok::<_, String>(buffers[4][cases::GUARD..][..words].to_vec())
    };
    let together = outputs(&rows.together)?;
    for (row, case) in rows.alone.iter().enumerate() {
        let alone = outputs(case)?;
        let in_company = rows.row(&together, row);
        if let Some(at) = (0..alone.len()).find(|&at| alone[at] != in_company[at]) {
            let [alone, in_company] = [alone[at], in_company[at]].map(f32::from_bits);
            return Err(format!(
                "row {row}, output {at}: {in_company} in company, {alone} alone"
            ));
        }
    }
    Ok(())
}
