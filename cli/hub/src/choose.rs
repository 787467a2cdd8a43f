//! Which files of a repository are models, and which model is meant.

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

#[cfg(test)]
mod tests {
    use super::super::name::texts;
    use super::*;

    fn files(paths: &[&str]) -> Vec<File> {
        paths
            .iter()
            .map(|path| File {
                path: (*path).into(),
                bytes: 10,
            })
            .collect()
    }

    /// The path that is opened, or what the error says.
    fn chosen(paths: &[&str], quant: Option<&str>) -> Result<String, String> {
        let all = candidates(&files(paths));
        choose("a/b", quant, &all)
            .map(|c| c.path().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_read_from_names() {
        let cases = [
            ("Llama-3.2-1B-Instruct-Q4_K_M", "Q4_K_M"),
            ("tinyllama.q5_0", "Q5_0"),
            ("smol-f16", "F16"),
            ("x-fp16", "F16"),
            ("x.IQ3_XXS", "IQ3_XXS"),
            ("x-q4-k-m", "Q4_K_M"),
            ("x-UD-Q4_K_XL", "UD-Q4_K_XL"),
            ("x-Q4_0_4_8", "Q4_0_4_8"),
            ("Q8_0/model", "Q8_0"),
            ("Q8_0/model-bf16", "BF16"),
            ("model", ""),
            ("Qwen3-8B", ""),
        ];
        for (stem, expected) in cases {
            assert_eq!(label(stem), expected, "{stem}");
        }
    }

    #[test]
    fn every_label_of_a_format_is_read_from_names() {
        for of in WeightFormat::labels_by_preference() {
            assert_eq!(label(&format!("Some-Model-1B-{of}")), of);
            assert_eq!(
                chosen(&[&format!("m-{of}.gguf"), "m-IQ1_S.gguf"], None),
                Ok(format!("m-{of}.gguf"))
            );
        }
    }

    #[test]
    fn quant_picks_by_type_then_by_part_then_by_file() {
        let there = [
            "m-Q4_K_S.gguf",
            "m-Q4_K_M.gguf",
            "m-Q8_0.gguf",
            "m-UD-Q4_K_XL.gguf",
            "mmproj-m-f16.gguf",
            "README.md",
        ];
        let pick = |quant| chosen(&there, Some(quant));
        for quant in ["Q8_0", "q8_0", "q8-0", "Q8.0"] {
            assert_eq!(pick(quant).as_deref(), Ok("m-Q8_0.gguf"), "{quant}");
        }
        assert_eq!(pick("q4_k_xl").as_deref(), Ok("m-UD-Q4_K_XL.gguf"));
        assert_eq!(pick("m-Q4_K_S.gguf").as_deref(), Ok("m-Q4_K_S.gguf"));
        let ambiguous = pick("q4_k").expect_err("three match");
        assert!(
            ambiguous.contains("more than one") && ambiguous.contains("m-Q4_K_S.gguf"),
            "{ambiguous}"
        );
        let none = pick("f16").expect_err("a projector is no model");
        assert!(
            none.contains("has no f16") && none.contains("Q8_0"),
            "{none}"
        );
        assert!(pick("-").is_err() && pick("safetensors").is_err());
    }

    #[test]
    fn without_quant_there_is_an_order() {
        assert_eq!(
            chosen(&["m-Q8_0.gguf", "m-Q4_K_M.gguf"], None).as_deref(),
            Ok("m-Q4_K_M.gguf")
        );
        assert_eq!(
            chosen(&["m-IQ1_S.gguf"], None).as_deref(),
            Ok("m-IQ1_S.gguf")
        );
        assert_eq!(
            chosen(&["m-F16.gguf", "m-Q6_K.gguf", "m-Q2_K.gguf"], None).as_deref(),
            Ok("m-Q6_K.gguf")
        );
        assert!(
            chosen(&["m-IQ1_S.gguf", "m-IQ2_S.gguf"], None)
                .is_err_and(|e| e.contains("more than one"))
        );
        assert!(
            chosen(&["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], None)
                .is_err_and(|e| e.contains("b-Q4_K_M.gguf"))
        );
        assert!(
            chosen(&["README.md", "model.safetensors"], None)
                .is_err_and(|e| e.contains("holds no model"))
        );
    }

    #[test]
    fn parts_come_together_or_not_at_all() {
        let parts = [
            "q/m-Q8_0-00002-of-00002.gguf",
            "q/m-Q8_0-00001-of-00002.gguf",
            "m-Q4_0-00001-of-00002.gguf",
        ];
        let all = candidates(&files(&parts));
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(
            (all[0].path(), all[0].files.len(), all[0].bytes()),
            (parts[1], 2, 20)
        );
        assert_eq!(
            chosen(&parts, Some("q/m-Q8_0-00002-of-00002.gguf")).as_deref(),
            Ok(parts[1])
        );
    }

    #[test]
    fn safetensors_repositories_come_whole() {
        let there = [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "consolidated.safetensors",
            "config.json",
            "model.safetensors.index.json",
            "tokenizer.json",
            "original/params.json",
            "sub/x.safetensors",
            "LICENSE",
        ];
        let all = candidates(&files(&there));
        let found: Vec<&str> = all[0].files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            found,
            [
                "config.json",
                "tokenizer.json",
                "model.safetensors.index.json",
                there[0],
                there[1]
            ]
        );
        let both = ["config.json", "model.safetensors", "m-Q8_0.gguf"];
        assert_eq!(chosen(&both, None).as_deref(), Ok("m-Q8_0.gguf"));
        assert_eq!(
            chosen(&both, Some("safetensors")).as_deref(),
            Ok("config.json")
        );
        assert!(chosen(&both[..2], Some("q4_k_m")).is_err_and(|e| e.contains("  safetensors")));
    }

    #[test]
    fn any_list_gives_a_model_or_an_error() {
        let pieces = [
            "a-Q4_K",
            "b.q8-0",
            "-00001-of-00002",
            "-00002-of-00002",
            "-00000-of-00000",
            "f16",
            "/",
            ".",
            "",
            ".gguf",
        ];
        let ends = [".gguf", ".safetensors", "/config.json", ""];
        let mut chosen = 0;
        for text in texts("0123456789", 50_000) {
            let digits: Vec<usize> = text.bytes().map(|byte| usize::from(byte - b'0')).collect();
            let path = |d: &[usize]| format!("{}{}{}", pieces[d[0]], pieces[d[1]], ends[d[2] % 4]);
            let paths = digits
                .chunks_exact(3)
                .map(path)
                .chain(["config.json".to_owned()]);
            let files: Vec<File> = paths
                .map(|path| File {
                    path,
                    bytes: u64::MAX,
                })
                .collect();
            let all = candidates(&files);
            let quant = digits
                .first()
                .map(|&digit| pieces[digit])
                .filter(|piece| !piece.is_empty());
            if let Ok(one) = choose("a/b", quant, &all) {
                assert!(
                    !one.files.is_empty() && one.files.iter().all(|file| files.contains(file)),
                    "{files:?}"
                );
                assert!(one.bytes() == u64::MAX);
                chosen += 1;
            }
        }
        assert!(chosen > 1000, "{chosen} were chosen");
    }
}
