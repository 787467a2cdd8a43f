//! Attention over a paged cache: a row's result is the same to the bit whether the row is alone in
//! its batch or among others, and wherever its pages are.
//!
//! `GODWIT_ADAPTER` picks an adapter by name, `VK_DRIVER_FILES` a Vulkan driver.

use std::sync::Arc;

use godwit::low_level::gpu::{Gpu, GpuOptions};
use godwit_shaders::kernels::attention::paged::{ATTENTION_PAGED, pairs};
use godwit_tests::cases::{self, GUARD};
use libtest_mimic::{Arguments, Trial};
use pollster::block_on;

fn main() {
    let arguments = Arguments::from_args();
    let options = GpuOptions::default().adapter(std::env::var("GODWIT_ADAPTER").ok());
    let gpu = match block_on(Gpu::open(&options)) {
        Ok(gpu) => Arc::new(gpu),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let mut trials = Vec::new();
    let mut elsewhere = 0;
    for pair in pairs() {
        let variant = &ATTENTION_PAGED.variants[pair.alone.variant];
        if !variant.runs_on(gpu.caps()) {
            elsewhere += 1;
            continue;
        }
        let name = format!("{}::{}", variant.name, pair.among.name);
        let gpu = Arc::clone(&gpu);
        trials.push(Trial::test(name, move || {
            let alone = cases::run(&gpu, &ATTENTION_PAGED, &pair.alone)?;
            let among = cases::run(&gpu, &ATTENTION_PAGED, &pair.among)?;
            if pair.results.is_empty() {
                return Err("the pair has no results".into());
            }
            for (buffer, [a, b]) in &pair.results {
                let a_words = &alone[*buffer][GUARD..][a.clone()];
                let b_words = &among[*buffer][GUARD..][b.clone()];
                if let Some(i) = (0..a_words.len()).find(|&i| a_words[i] != b_words[i]) {
                    return Err(format!(
                        "word {i} of a result is {:?} alone, and {:?} among others",
                        f32::from_bits(a_words[i]),
                        f32::from_bits(b_words[i])
                    )
                    .into());
                }
            }
            Ok(())
        }));
    }
    if elsewhere > 0 {
        eprintln!("{elsewhere} pairs are of variants that need more than this adapter has");
    }
    libtest_mimic::run(&arguments, trials).exit();
}
