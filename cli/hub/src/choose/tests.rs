//! Tests of the module above.

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
        chosen(&["m-IQ1_S.gguf", "m-IQ2_S.gguf"], None).is_err_and(|e| e.contains("more than one"))
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
