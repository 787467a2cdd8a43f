//! Models that are known to be good, by short names.

/// A model with a short name.
pub struct Known {
    /// The name to type.
    pub alias: &'static str,
    /// OWNER/REPO:QUANT.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
}

const fn known(alias: &'static str, name: &'static str, about: &'static str) -> Known {
    Known { alias, name, about }
}

/// All of them, the smallest first.
pub const KNOWN: [Known; 10] = [
    known(
        "smollm2-135m",
        "bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0",
        "for trying things out; window 8k",
    ),
    known(
        "smollm2-360m",
        "bartowski/SmolLM2-360M-Instruct-GGUF:Q8_0",
        "small and quick; window 8k",
    ),
    known(
        "tinyllama",
        "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M",
        "Llama 2's shape at 1.1B; window 2k",
    ),
    known(
        "llama3.2-1b",
        "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
        "for laptops and phones; window 128k",
    ),
    known(
        "smollm2-1.7b",
        "bartowski/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M",
        "the largest of its family; window 8k",
    ),
    known(
        "llama3.2-3b",
        "bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
        "for 4 GB of GPU memory; window 128k",
    ),
    known(
        "llama3.1-8b",
        "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M",
        "for 8 GB of GPU memory; window 128k",
    ),
    known(
        "llama3-8b-1048k",
        "bartowski/Llama-3-8B-Instruct-Gradient-1048k-GGUF:Q4_K_M",
        "a window of 1,048,576 tokens",
    ),
    known(
        "llama3-8b-1048k-bf16",
        "gradientai/Llama-3-8B-Instruct-Gradient-1048k",
        "the same as published: 16 GB of safetensors",
    ),
    known(
        "llama3-70b-1048k",
        "bartowski/Llama-3-70B-Instruct-Gradient-1048k-GGUF:Q4_K_M",
        "the same with 70B weights: 43 GB",
    ),
];

/// The name behind an alias, with what follows the alias (`:QUANT`, `@REVISION`) in place of the
/// table's.
pub fn expanded(text: &str) -> Option<String> {
    let at = text.find([':', '@']).unwrap_or(text.len());
    let (alias, rest) = text.split_at(at);
    let known = KNOWN
        .iter()
        .find(|known| known.alias.eq_ignore_ascii_case(alias))?;
    let name = if rest.starts_with(':') {
        known.name.split(':').next().unwrap_or_default()
    } else {
        known.name
    };
    Some(format!("{name}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::super::name::Name;
    use super::*;

    #[test]
    fn all_are_names_and_aliases_are_none() {
        for known in &KNOWN {
            assert!(
                Name::parse(known.name).is_ok() && Name::parse(known.alias).is_err(),
                "{}",
                known.alias
            );
            assert_eq!(expanded(known.alias).as_deref(), Some(known.name));
        }
        let quant = expanded("Llama3.2-1B:q8_0@v1");
        assert_eq!(
            quant.as_deref(),
            Some("bartowski/Llama-3.2-1B-Instruct-GGUF:q8_0@v1")
        );
        assert_eq!(
            expanded("tinyllama@x").as_deref(),
            Some("TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M@x")
        );
        assert_eq!(expanded("llama"), None);
    }
}
