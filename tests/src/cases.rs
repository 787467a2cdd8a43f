//! Kernel cases on a device: guard words around every buffer, and what must hold afterwards.

use godwit::low_level::gpu::{Gpu, GpuMemory, Prepared};
use godwit_shaders::{Access, BufferRef, Buffers, Case, Contents, Kernel, Plan};
use pollster::block_on;

use crate::compare::{compare, numbers};

/// Words before and after each buffer: what a binding's offset must be a multiple of.
pub const GUARD: usize = 64;
/// A quiet NaN with a pattern: read by mistake it spoils the result, written over it is missed.
const POISON: u32 = 0x7fc0_dead;
/// A float that dwarfs all others, and that comparisons don't drop as they do NaN.
const HUGE: u32 = 0x7e96_7699;

/// A buffer between guards.
pub fn guarded(words: &[u32]) -> Vec<u32> {
    let mut guarded = vec![POISON; words.len() + 2 * GUARD];
    guarded[GUARD..][..words.len()].copy_from_slice(words);
    guarded
}

/// A buffer between guards of this word. The one behind it is as long as the buffer: kernels that
/// read beyond the end do so by whole rows.
fn poisoned(words: &[u32], poison: u32) -> Vec<u32> {
    let mut poisoned = vec![poison; GUARD + words.len() + tail(words)];
    poisoned[GUARD..][..words.len()].copy_from_slice(words);
    poisoned
}

/// Words of the guard behind a buffer.
fn tail(words: &[u32]) -> usize {
    words.len().next_multiple_of(GUARD) + GUARD
}

/// All buffers of a case, guards included, after it ran on this device: three times, with the same
/// result to the bit. First bindings end where tensors do, so that checks may hide what is read
/// beyond; then they take in the guards, of NaN, then of huge numbers: what is read beyond comes
/// from there.
///
/// # Errors
/// The device fails, or the runs differ.
pub fn run(gpu: &Gpu, kernel: &'static Kernel, case: &Case) -> Result<Vec<Vec<u32>>, String> {
    let mut table = Buffers::default();
    let step = table.declare("step", 16);
    let whole: Vec<BufferRef> = kernel
        .bindings
        .iter()
        .zip(&case.fixture.buffers)
        .map(|(binding, words)| {
            table.declare(binding.name, 4 * (GUARD + words.len() + tail(words)) as u64)
        })
        .collect();
    let inner: Vec<BufferRef> = whole
        .iter()
        .zip(&case.fixture.buffers)
        .map(|(whole, words)| BufferRef {
            offset: 4 * GUARD as u64,
            bytes: 4 * words.len() as u64,
            ..*whole
        })
        .collect();
    let long: Vec<BufferRef> = whole
        .iter()
        .map(|whole| BufferRef {
            offset: 4 * GUARD as u64,
            bytes: whole.bytes - 4 * GUARD as u64,
            ..*whole
        })
        .collect();
    let plan_on = |buffers: &[BufferRef]| {
        let mut plan = Plan::default();
        plan.push(case.dispatch(kernel, buffers.to_vec()));
        plan
    };
    let outcomes = block_on(async {
        let mut memory = GpuMemory::new(gpu);
        memory.allocate(&table).await?;
        let exact = Prepared::new(gpu, &memory, &plan_on(&inner), step).await?;
        let long = Prepared::new(gpu, &memory, &plan_on(&long), step).await?;
        let mut outcomes = Vec::new();
        for (prepared, poison) in [(&exact, POISON), (&long, POISON), (&long, HUGE)] {
            for (whole, words) in whole.iter().zip(&case.fixture.buffers) {
                memory
                    .write(*whole, 0, bytemuck::cast_slice(&poisoned(words, poison)))
                    .await?;
            }
            prepared.submit(&memory, case.fixture.step).await?;
            let mut outcome: Vec<Vec<u32>> = Vec::new();
            for whole in &whole {
                let mut found: Vec<u32> = bytemuck::pod_collect_to_vec(&memory.read(*whole).await?);
                // Guards are compared by whether they are whole.
                found
                    .iter_mut()
                    .filter(|word| **word == poison)
                    .for_each(|word| *word = POISON);
                outcome.push(found);
            }
            outcomes.push(outcome);
        }
        Ok::<_, godwit::GpuError>(outcomes)
    });
    let mut outcomes = outcomes.map_err(|e| e.to_string())?;
    if outcomes[0] != outcomes[1] {
        return Err("two runs differ: without and with NaN behind the buffers".into());
    }
    if outcomes[0] != outcomes[2] {
        return Err("two runs differ: without and with huge numbers behind the buffers".into());
    }
    Ok(outcomes.swap_remove(0))
}

/// Checks a case's buffers, guards included, against the kernel's reference.
///
/// # Errors
/// Says which buffer is wrong, and how.
pub fn check(kernel: &Kernel, case: &Case, outcome: &[Vec<u32>]) -> Result<(), String> {
    let mut expected = case.fixture.clone();
    (kernel.reference)(&mut expected);
    for (i, binding) in kernel.bindings.iter().enumerate() {
        let (found, before, wanted) = (&outcome[i], &case.fixture.buffers[i], &expected.buffers[i]);
        let (head, rest) = found.split_at(GUARD);
        let (body, tail) = rest.split_at(before.len());
        // Buffers are rounded up to 16 bytes: what lies behind the guard was never written.
        if head
            .iter()
            .chain(&tail[..tail.len() / GUARD * GUARD])
            .any(|&word| word != POISON)
        {
            return Err(format!(
                "`{}` was written outside its binding",
                binding.name
            ));
        }
        if binding.access == Access::Read {
            if body != before {
                return Err(format!(
                    "`{}` was written, but is only to be read",
                    binding.name
                ));
            }
            continue;
        }
        let most = if matches!(binding.contents, Contents::Integers) {
            0.0
        } else {
            case.nmse
        };
        let numbers = |words: &[u32]| numbers(&case.fixture, words, binding.contents);
        compare(&numbers(body), &numbers(wanted), most)
            .map_err(|e| format!("`{}`: {e}", binding.name))?;
        // The kernel must leave alone, to the bit, each word that the reference leaves alone.
        let strayed = (0..before.len())
            .find(|&w| wanted[w] == before[w] && body[w] != before[w] && most == 0.0);
        if let Some(at) = strayed {
            return Err(format!("`{}`[{at}] was written", binding.name));
        }
    }
    Ok(())
}
