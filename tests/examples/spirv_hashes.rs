//! One line for each kernel variant, weight format and set of override values: a hash of its SPIR-V
//! without names. A change that only renames things leaves every hash as it is:
//!
//!     cargo run --release -p godwit-tests --example spirv_hashes > before.txt
//!     (rename)
//!     cargo run --release -p godwit-tests --example spirv_hashes > after.txt
//!     diff <(cut -c1-64 before.txt | sort) <(cut -c1-64 after.txt | sort)

use godwit_tests::translate;
use sha2::{Digest as _, Sha256};

/// Words before the first instruction.
const HEADER_WORDS: usize = 5;
/// SPIR-V 1.6, 3.52.2 and 3.52.3: instructions that hold nothing but names and sources.
const NAMES: [u32; 6] = [2, 3, 5, 6, 7, 330];
const ENTRY_POINT: u32 = 15;

fn main() -> Result<(), String> {
    for (kernel, variant, format) in translate::variants() {
        let label = translate::label(kernel, variant, format);
        let checked = translate::module(kernel, variant, format)
            .map_err(|error| format!("{label}: {error}"))?;
        for (index, constants) in translate::override_sets(kernel, variant, |_| true)
            .iter()
            .enumerate()
        {
            let filled = translate::with_constants(kernel, &checked, constants)?;
            let words = without_names(&translate::spirv(&filled, variant)?)?;
            let digest = Sha256::digest(bytemuck::cast_slice(&words));
            let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{hash} {label} {index}");
        }
    }
    Ok(())
}

/// The instructions that a driver compiles. The entry point keeps its execution model, id and
/// interface.
fn without_names(words: &[u32]) -> Result<Vec<u32>, String> {
    let mut kept = words.get(..HEADER_WORDS).ok_or("no header")?.to_vec();
    let mut rest = &words[HEADER_WORDS..];
    while let Some(&first) = rest.first() {
        let (length, opcode) = ((first >> 16) as usize, first & 0xffff);
        let instruction = rest
            .get(..length)
            .filter(|words| !words.is_empty())
            .ok_or("a cut instruction")?;
        rest = &rest[length..];
        match opcode {
            ENTRY_POINT => {
                // The name ends with the first word that holds a zero byte.
                let is_end = |word: &u32| word.to_le_bytes().contains(&0);
                let end = instruction
                    .iter()
                    .skip(3)
                    .position(is_end)
                    .ok_or("a name without an end")?
                    + 4;
                kept.extend_from_slice(&instruction[1..3]);
                kept.extend_from_slice(&instruction[end..]);
            }
            _ if NAMES.contains(&opcode) => {}
            _ => kept.extend_from_slice(instruction),
        }
    }
    Ok(kept)
}
