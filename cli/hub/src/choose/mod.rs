//! Which files of a repository are models, and which model is meant.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use godwit::WeightFormat;

use super::error::HubError;

/// The files of a safetensors repository beside its weights.
pub const SMALL: [&str; 6] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    INDEX,
];
pub const CONFIG: &str = "config.json";
pub const WHOLE: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";

/// The label of a model in safetensors.
pub const SAFETENSORS: &str = "safetensors";

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path in the repository, with `/`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Files that together are one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The quantisation by the file's name, or `safetensors`; empty where the name has none.
    pub label: String,
    /// The files, the one to open first.
    pub files: Vec<File>,
}

impl Candidate {
    /// The length of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Whether it is a folder of safetensors rather than GGUF files.
    pub fn is_folder(&self) -> bool {
        self.label == SAFETENSORS
    }

    /// The first file's path.
    pub fn path(&self) -> &str {
        self.files.first().map_or("", |file| &file.path)
    }

    /// Its QUANT in a name: the label, or the file.
    pub fn handle(&self) -> &str {
        if self.label.is_empty() {
            self.path()
        } else {
            &self.label
        }
    }
}

/// The models among the files, GGUF by its path first. One that lacks parts is none.
pub fn candidates(files: &[File]) -> Vec<Candidate> {
    let mut groups: BTreeMap<(&str, u32), BTreeMap<u32, &File>> = BTreeMap::new();
    for file in files {
        if let Some(stem) = file
            .path
            .strip_suffix(".gguf")
            .filter(|stem| !is_aside(stem))
        {
            let (stem, part, parts) = split(stem).unwrap_or((stem, 1, 1));
            groups.entry((stem, parts)).or_default().insert(part, file);
        }
    }
    let whole = groups
        .into_iter()
        .filter(|((_, parts), group)| group.len() == *parts as usize);
    let mut found: Vec<Candidate> = whole
        .map(|((stem, _), group)| Candidate {
            label: label(stem),
            files: group.into_values().cloned().collect(),
        })
        .collect();
    found.extend(folder(files));
    found
}

/// The model that is meant.
///
/// # Errors
/// None is, or more than one; the message lists what there is.
pub fn choose<'a>(
    repo: &str,
    quant: Option<&str>,
    all: &'a [Candidate],
) -> Result<&'a Candidate, HubError> {
    if all.is_empty() {
        return Err(HubError::NoModel { repo: repo.into() });
    }
    let Some(quant) = quant else {
        return by_order(repo, all);
    };
    let wanted = words(quant);
    let same = |text: &str| words(text) == wanted;
    let file = |c: &Candidate| {
        c.files
            .iter()
            .any(|f| f.path == quant || f.path.ends_with(&format!("/{quant}")))
    };
    let part = |c: &Candidate| {
        !wanted.is_empty()
            && words(c.path())
                .windows(wanted.len())
                .any(|window| window == wanted)
    };
    // The more exactly a name is meant, the sooner it counts.
    let rules: [&dyn Fn(&Candidate) -> bool; 3] = [&file, &|c| same(&c.label), &part];
    for rule in rules {
        match all.iter().filter(|c| rule(c)).collect::<Vec<_>>()[..] {
            [] => {}
            [one] => return Ok(one),
            ref many => {
                return Err(HubError::Ambiguous {
                    repo: repo.into(),
                    there: listed(many.iter().copied()),
                });
            }
        }
    }
    Err(HubError::NoQuant {
        repo: repo.into(),
        quant: quant.into(),
        there: listed(all.iter()),
    })
}

fn by_order<'a>(repo: &str, all: &'a [Candidate]) -> Result<&'a Candidate, HubError> {
    let of = |label: &str| all.iter().filter(|c| c.label == label).collect::<Vec<_>>();
    let gguf: Vec<&Candidate> = all.iter().filter(|c| !c.is_folder()).collect();
    // Four bits first, then more exact formats, then coarser ones, then floats.
    let order = WeightFormat::labels_by_preference();
    let best = order
        .iter()
        .map(|label| of(label))
        .find(|found| !found.is_empty());
    match (best.as_deref(), &gguf[..]) {
        (_, [only]) | (Some([only]), _) => Ok(only),
        (None, []) => all
            .first()
            .ok_or_else(|| HubError::NoModel { repo: repo.into() }),
        (Some(many), _) => Err(HubError::Ambiguous {
            repo: repo.into(),
            there: listed(many.iter().copied()),
        }),
        (None, many) => Err(HubError::Ambiguous {
            repo: repo.into(),
            there: listed(many.iter().copied()),
        }),
    }
}

/// A line for each, for messages.
fn listed<'a>(all: impl Iterator<Item = &'a Candidate>) -> String {
    let line = |c: &Candidate| match c.is_folder() {
        true => format!("  {SAFETENSORS}"),
        false => format!("  {:<10} {}", c.label, c.path()),
    };
    all.map(line).collect::<Vec<_>>().join("\n")
}

/// GGUF files that are no models of their own: vision projectors, importance matrices.
fn is_aside(stem: &str) -> bool {
    let base = stem
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    base.contains("mmproj") || base.contains("imatrix")
}

/// Whether a file is one of several that are a model together.
pub fn is_shard(path: &str) -> bool {
    let stem = [".gguf", ".safetensors"]
        .iter()
        .find_map(|ending| path.strip_suffix(ending));
    stem.is_some_and(|stem| split(stem).is_some_and(|(.., parts)| parts > 1))
}

/// `stem-00002-of-00003`, taken apart.
fn split(stem: &str) -> Option<(&str, u32, u32)> {
    let number = |text: &str| {
        if text.len() == 5 {
            text.parse::<u32>().ok()
        } else {
            None
        }
    };
    let (rest, parts) = stem.rsplit_once("-of-")?;
    let (rest, part) = rest.rsplit_once('-')?;
    let (part, parts) = (number(part)?, number(parts)?);
    (1..=parts).contains(&part).then_some((rest, part, parts))
}

/// The model in safetensors at the top of the repository, if there is one: its one file, or else
/// its shards.
fn folder(files: &[File]) -> Option<Candidate> {
    let named = |name: &str| files.iter().find(|file| file.path == name);
    let top = |file: &&File| file.path.ends_with(".safetensors") && !file.path.contains('/');
    let shard =
        |file: &&File| top(file) && split(file.path.trim_end_matches(".safetensors")).is_some();
    let weights: Vec<&File> = match named(WHOLE) {
        Some(whole) => vec![whole],
        None if files.iter().any(|file| shard(&file)) => files.iter().filter(shard).collect(),
        None => files.iter().filter(top).collect(),
    };
    named(CONFIG)?;
    if weights.is_empty() {
        return None;
    }
    let small = SMALL.iter().filter_map(|name| named(name));
    Some(Candidate {
        label: SAFETENSORS.into(),
        files: small.chain(weights).cloned().collect(),
    })
}

/// The words of a name, in capitals: what stands between - _ . and /.
fn words(text: &str) -> Vec<String> {
    let word = |word: &str| match word.to_ascii_uppercase().as_str() {
        "FP16" => "F16".to_owned(),
        "FP32" => "F32".to_owned(),
        other => other.to_owned(),
    };
    text.trim_end_matches(".gguf")
        .split(['-', '_', '.', '/', ' '])
        .filter(|part| !part.is_empty())
        .map(word)
        .collect()
}

/// The quantisation that a file's name speaks of last, such as `Q4_K_M`; else of the folders it is
/// in; else nothing.
fn label(stem: &str) -> String {
    let words = words(stem);
    let Some(at) = words.iter().rposition(|word| is_type(word)) else {
        return String::new();
    };
    let rest = words[at + 1..].iter().take_while(|word| is_detail(word));
    let quant = std::iter::once(&words[at])
        .chain(rest)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("_");
    // Another recipe for the same type, in repositories that have both.
    if at > 0 && words[at - 1] == "UD" {
        format!("UD-{quant}")
    } else {
        quant
    }
}

fn is_type(word: &str) -> bool {
    if ["F16", "F32", "BF16", "MXFP4"].contains(&word) {
        return true;
    }
    let digit = ["IQ", "TQ", "Q"]
        .iter()
        .find_map(|prefix| word.strip_prefix(prefix));
    digit.is_some_and(|digit| {
        digit.len() == 1 && digit.bytes().all(|byte| (b'1'..=b'8').contains(&byte))
    })
}

fn is_detail(word: &str) -> bool {
    [
        "0", "1", "4", "8", "K", "XXS", "XS", "S", "M", "L", "XL", "NL",
    ]
    .contains(&word)
}
