//! Times kernel cases on a GPU: `cargo run --release -p godwit-tests --example bench [PART OF A NAME]`.
//!
//! Prints microseconds for a dispatch, floating-point operations and bytes a second. Dispatches run back to back in one
//! submission, so that what it costs to submit doesn't count.

use std::time::Instant;

use godwit::gpu::{GpuMemory, Prepared};
use godwit_shaders::{Buffers, Dispatch, KERNELS, Plan};
use godwit_tests::model::gpu;
use pollster::block_on;

/// Dispatches of a submission, and submissions; the fastest counts.
const DISPATCHES: usize = 50;
const SUBMISSIONS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let gpu = gpu(false);
    println!("{}\n{:>10} {:>9} {:>8}", gpu.summary(), "us", "GFLOP/s", "GB/s");
    for kernel in KERNELS {
        for case in (kernel.cases)() {
            let name = format!("{}.{} {}", kernel.name, kernel.variants[case.variant].name, case.name);
            if !name.contains(&wanted) {
                continue;
            }
            let mut table = Buffers::default();
            let step = table.declare("step", 16);
            let buffers: Vec<_> =
                case.scene.buffers.iter().map(|words| table.declare("", 4 * words.len() as u64)).collect();
            let dispatch = Dispatch {
                kernel,
                variant: &kernel.variants[case.variant],
                format: case.scene.format,
                overrides: case.overrides.clone(),
                params: case.scene.params.clone(),
                buffers: buffers.clone(),
                workgroups: case.scene.workgroups,
            };
            let plan = Plan { dispatches: vec![dispatch; DISPATCHES], uploads: Vec::new() };
            let seconds = block_on(async {
                let mut memory = GpuMemory::new(&gpu);
                memory.allocate(&table).await?;
                for (buffer, words) in buffers.iter().zip(&case.scene.buffers) {
                    memory.write(*buffer, 0, bytemuck::cast_slice(words));
                }
                let prepared = Prepared::new(&gpu, &memory, &plan, step).await?;
                let mut best = f64::MAX;
                for _ in 0..=SUBMISSIONS {
                    gpu.finish().await?;
                    let begin = Instant::now();
                    prepared.submit(&memory, case.scene.step);
                    gpu.finish().await?;
                    best = best.min(begin.elapsed().as_secs_f64() / DISPATCHES as f64);
                }
                Ok::<f64, godwit::GpuError>(best)
            })?;
            let (flops, bytes) = (case.flops as f64 / seconds / 1e9, case.bytes as f64 / seconds / 1e9);
            println!("{:>10.1} {flops:>9.2} {bytes:>8.2}  {name}", seconds * 1e6);
        }
    }
    Ok(())
}
