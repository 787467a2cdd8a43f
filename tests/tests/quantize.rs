//! Quantisers: bit for bit the `gguf` package's where that has one, and no less exact than
//! llama.cpp's (`tests/golden/quantize.py`).

use std::collections::BTreeMap;

use godwit::WeightFormat;
use godwit_tests::model::{fixture, smollm2};

fn floats(path: &str) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&std::fs::read(fixture(path)).expect("a readable file"))
}

fn quantised(format: WeightFormat, weights: &[f32]) -> Vec<u8> {
    let mut out = vec![0xAA; weights.len() / format.block_len() * format.block_bytes()];
    format
        .quantize(weights, None, &mut out)
        .expect("a writable format");
    out
}

#[test]
fn small_blocks_equal_the_gguf_package() {
    let weights = floats("tests/golden/quantize/weights.f32");
    for format in [
        WeightFormat::Q4_0,
        WeightFormat::Q4_1,
        WeightFormat::Q5_0,
        WeightFormat::Q5_1,
        WeightFormat::Q8_0,
    ] {
        let golden = std::fs::read(fixture(&format!("tests/golden/quantize/{format}.bin")))
            .expect("readable blocks");
        let found = quantised(format, &weights);
        let wrong = found.iter().zip(&golden).position(|(a, b)| a != b);
        assert_eq!((found.len(), wrong), (golden.len(), None), "{format}");
    }
}

/// The normalised mean square error.
fn error(format: WeightFormat, weights: &[f32]) -> f64 {
    let mut back = vec![0.0; weights.len()];
    format.dequantize(&quantised(format, weights), &mut back);
    let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let off = squares(
        &mut weights
            .iter()
            .zip(&back)
            .map(|(a, b)| f64::from(*a) - f64::from(*b)),
    );
    off / squares(&mut weights.iter().map(|&x| x.into()))
}

#[test]
fn errors_are_no_larger_than_llama_cpps() {
    let text = std::fs::read_to_string(fixture("tests/golden/quantize/errors.json"))
        .expect("a readable file");
    let golden: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(golden.len(), 3);
    let model = smollm2();
    let mut worse = Vec::new();
    for (input, errors) in &golden {
        let weights = match input.as_str() {
            "gaussian" => floats("tests/golden/quantize/weights.f32"),
            name => {
                let tensor = model.checkpoint().tensor(name).expect("a tensor");
                let count = 1536 * 1024;
                let bytes = tensor
                    .format
                    .bytes(count as u64)
                    .expect("whole blocks")
                    .min(tensor.bytes);
                let stored = model.checkpoint().data(tensor, 0..bytes).expect("its data");
                let mut weights = vec![
                    0.0;
                    stored.len() / tensor.format.block_bytes()
                        * tensor.format.block_len()
                ];
                tensor.format.dequantize(&stored, &mut weights);
                weights
            }
        };
        assert_eq!(errors.len(), 10);
        for (name, &theirs) in errors {
            let format = WeightFormat::writable()
                .find(|f| f.name() == name)
                .expect("a writable format");
            let ours = error(format, &weights);
            eprintln!("{input} {name}: {ours:.4e}, llama.cpp {theirs:.4e}");
            // Below 1e-12 is what the last bits of floats make of weights that come back as they
            // were.
            if ours > (1.02 * theirs).max(1e-12) {
                worse.push(format!("{input} {name}: {ours:.4e} for {theirs:.4e}"));
            }
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
}
