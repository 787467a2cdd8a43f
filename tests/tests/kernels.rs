//! Every kernel, variant and case against its f64 reference, under the adapter's limits and under the WebGPU defaults.
//!
//! `GODWIT_ADAPTER` picks an adapter by name, `VK_DRIVER_FILES` a Vulkan driver. Outputs lie between guard words that must
//! stay as they are; every dispatch runs twice from the same state and must give the same bits.

use std::sync::Arc;

use godwit::gpu::{Gpu, GpuMemory, GpuOptions, Prepared};
use godwit_shaders::{Access, BufferRef, Buffers, Case, Contents, Dispatch, KERNELS, Kernel, Plan};
use godwit_tests::compare::{compare, numbers};
use libtest_mimic::{Arguments, Failed, Trial};
use pollster::block_on;

/// Words before and after each buffer: what a binding's offset must be a multiple of.
const GUARD: usize = 64;
/// A quiet NaN with a pattern: read by mistake it spoils the result, written over it is missed.
const POISON: u32 = 0x7fc0_dead;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for webgpu_limits in [false, true] {
        let options =
            GpuOptions { adapter: std::env::var("GODWIT_ADAPTER").ok(), webgpu_limits, ..GpuOptions::default() };
        let gpu = match block_on(Gpu::open(&options)) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
        let limits = if webgpu_limits { "webgpu" } else { "adapter" };
        for &kernel in &KERNELS {
            for case in (kernel.cases)() {
                let variant = kernel.variants[case.variant].name;
                let name = format!("{limits}::{}.{variant}::{}", kernel.name, case.name);
                let gpu = Arc::clone(&gpu);
                trials.push(Trial::test(name, move || run(&gpu, kernel, &case).map_err(Failed::from)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(gpu: &Gpu, kernel: &'static Kernel, case: &Case) -> Result<(), String> {
    let mut expected = case.scene.clone();
    (kernel.reference)(&mut expected);

    let mut table = Buffers::default();
    let step = table.declare("step", 16);
    let whole: Vec<BufferRef> = kernel
        .bindings
        .iter()
        .zip(&case.scene.buffers)
        .map(|(binding, words)| table.declare(binding.name, 4 * (words.len() + 2 * GUARD) as u64))
        .collect();
    let inner: Vec<BufferRef> = whole
        .iter()
        .zip(&case.scene.buffers)
        .map(|(whole, words)| BufferRef { offset: 4 * GUARD as u64, bytes: 4 * words.len() as u64, ..*whole })
        .collect();
    let mut plan = Plan::default();
    plan.push(Dispatch {
        kernel,
        variant: &kernel.variants[case.variant],
        format: case.scene.format,
        overrides: case.overrides.clone(),
        params: case.scene.params.clone(),
        buffers: inner,
        workgroups: case.scene.workgroups,
    });

    let failed = |e: godwit::GpuError| e.to_string();
    let outcome = block_on(async {
        let mut memory = GpuMemory::new(gpu);
        memory.allocate(&table).await?;
        let prepared = Prepared::new(gpu, &memory, &plan, step).await?;
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            for (whole, words) in whole.iter().zip(&case.scene.buffers) {
                let mut guarded = vec![POISON; words.len() + 2 * GUARD];
                guarded[GUARD..][..words.len()].copy_from_slice(words);
                memory.write(*whole, 0, bytemuck::cast_slice(&guarded));
            }
            prepared.submit(&memory, case.scene.step);
            let mut outcome: Vec<Vec<u32>> = Vec::new();
            for whole in &whole {
                outcome.push(bytemuck::pod_collect_to_vec(&memory.read(*whole).await?));
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    });
    let outcomes = outcome.map_err(failed)?;
    if outcomes[0] != outcomes[1] {
        return Err("two runs differ".into());
    }
    for (i, binding) in kernel.bindings.iter().enumerate() {
        let (found, before, wanted) = (&outcomes[0][i], &case.scene.buffers[i], &expected.buffers[i]);
        let (head, rest) = found.split_at(GUARD);
        let (body, tail) = rest.split_at(before.len());
        // Buffers are rounded up to 16 bytes: what lies behind the guard was never written.
        if head.iter().chain(&tail[..GUARD]).any(|&word| word != POISON) {
            return Err(format!("`{}` was written outside its binding", binding.name));
        }
        if binding.access == Access::Read {
            if body != before {
                return Err(format!("`{}` was written, but is only to be read", binding.name));
            }
            continue;
        }
        let most = if matches!(binding.contents, Contents::Integers) { 0.0 } else { case.nmse };
        let numbers = |words: &[u32]| numbers(&case.scene, words, binding.contents);
        compare(&numbers(body), &numbers(wanted), most).map_err(|e| format!("`{}`: {e}", binding.name))?;
        // What the reference leaves alone, the kernel must leave alone to the bit.
        let strayed = (0..before.len()).find(|&w| wanted[w] == before[w] && body[w] != before[w] && most == 0.0);
        if let Some(at) = strayed {
            return Err(format!("`{}`[{at}] was written", binding.name));
        }
    }
    Ok(())
}
