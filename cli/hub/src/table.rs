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

/// How alike a short name and a text must be for the name to be suggested, from 0 to 1.
const LIKENESS: f64 = 0.85;

/// Names that are suggested at most.
const MOST: usize = 3;

/// The short names that a text was probably meant to be, the likeliest first.
pub fn near(text: &str) -> Vec<&'static str> {
    let at = text.find([':', '@']).unwrap_or(text.len());
    // Other tools write `llama3.2:3b` and `Llama-3.2-3B` for `llama3.2-3b`.
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ':', ' '], "");
    let (whole, begin) = (plain(text), plain(&text[..at]));
    let likeness = |known: &Known| {
        let alias = plain(known.alias);
        let starts = begin.len() > 3 && alias.starts_with(&begin);
        match starts {
            true if alias == whole => 1.0,
            true => 1.0 - (alias.len() - begin.len()) as f64 / 1000.0,
            false => strsim::jaro_winkler(&alias, &whole),
        }
    };
    let mut all: Vec<_> = KNOWN
        .iter()
        .map(|known| (likeness(known), known.alias))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(MOST).map(|(_, alias)| alias).collect()
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

    #[test]
    fn near_names_are_suggested() {
        for (text, first) in [
            ("lama3.2-1b", "llama3.2-1b"),
            ("llama3.2:3b", "llama3.2-3b"),
            ("Llama-3.1-8B", "llama3.1-8b"),
            ("smollm", "smollm2-135m"),
            ("tinylama", "tinyllama"),
        ] {
            assert_eq!(near(text).first(), Some(&first), "{text}: {:?}", near(text));
        }
        for text in ["", "x", "mistral", "gpt-4", "qwen2.5"] {
            assert!(near(text).is_empty(), "{text}: {:?}", near(text));
        }
    }
}
