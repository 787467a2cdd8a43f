//! Importance matrices measured on a text: against the reference's (`tests/golden/reference.py
//! logits`), and as files.

use std::collections::BTreeMap;

use godwit::Bytes;
use godwit::EngineOptions;
use godwit::quantize::{Importance, InputSquares, Mix, Recipe};
use godwit_tests::compare::compare;
use godwit_tests::model::{engine, fixture, session, smollm2};
use pollster::block_on;
use serde_json::Value;

/// Matrices of a layer in the order of the forward pass, and columns of their inputs.
const MATRICES: [(&str, usize); 7] = [
    ("attn_q", 576),
    ("attn_k", 576),
    ("attn_v", 576),
    ("attn_output", 576),
    ("ffn_gate", 576),
    ("ffn_up", 576),
    ("ffn_down", 1536),
];

/// The ids of a committed text, and the reference's sums for it.
fn text(name: &str) -> (Vec<u32>, BTreeMap<String, Vec<f64>>) {
    let json = std::fs::read_to_string(fixture("tests/golden/ids.json")).expect("a readable file");
    let ids: Value = serde_json::from_str(&json).expect("valid JSON");
    let ids = serde_json::from_value(ids["texts"][name].clone()).expect("ids");
    let golden = std::fs::read(fixture(&format!("target/golden/{name}.squares")))
        .expect("the reference's sums");
    let mut golden = bytemuck::pod_collect_to_vec::<u8, f32>(&golden)
        .into_iter()
        .map(f64::from);
    let mut sums = BTreeMap::new();
    for layer in 0..30 {
        for (matrix, width) in MATRICES {
            sums.insert(
                format!("blk.{layer}.{matrix}.weight"),
                golden.by_ref().take(width).collect(),
            );
        }
    }
    assert_eq!(golden.next(), None);
    (ids, sums)
}

fn file(squares: &InputSquares) -> Vec<u8> {
    let mut out = Vec::new();
    squares
        .write(vec!["a text".into()], 512, &mut out)
        .expect("it is written");
    out
}

fn read(data: Vec<u8>) -> Result<Importance, String> {
    let file = Bytes {
        name: "imatrix".into(),
        data,
    };
    Importance::read(Box::new(file)).map_err(|error| error.to_string())
}

fn key(importance: Importance) -> String {
    Recipe::from(Mix::Q4_0).importance(Some(importance)).key()
}

/// The older format of the same matrix: means times a count.
fn older(squares: &InputSquares, count: u32) -> Vec<u8> {
    let mut out = (squares.sums().count() as u32).to_le_bytes().to_vec();
    for (name, sums) in squares.sums() {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(count.to_le_bytes());
        out.extend((sums.len() as u32).to_le_bytes());
        let means = sums
            .iter()
            .map(|&sum| sum as f32 / squares.tokens() as f32 * count as f32);
        out.extend(means.flat_map(f32::to_le_bytes));
    }
    // How many chunks, and the name of the text, which nobody needs.
    out.extend(3_u32.to_le_bytes());
    out.extend(4_u32.to_le_bytes());
    out.extend(b"text");
    out
}

#[test]
fn inputs_are_measured() {
    let model = smollm2();
    let mut session = session(&engine(&model, &EngineOptions::default(), false));
    let mut squares = InputSquares::default();
    let mut golden: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut tokens = 0;
    for name in ["odd", "prose"] {
        let (ids, sums) = text(name);
        block_on(session.calibrate(&ids, &mut squares)).expect("it calibrates");
        tokens += ids.len() as u64;
        for (name, sums) in sums {
            let all = golden.entry(name).or_insert_with(|| vec![0.0; sums.len()]);
            all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
        }
    }
    assert_eq!((squares.tokens(), squares.sums().count()), (tokens, 210));
    for ((name, found), (expected_name, expected)) in squares.sums().zip(&golden) {
        assert_eq!(name, expected_name);
        // Keys and values are f16.
        compare(found, expected, 1e-6).expect(name);
    }

    // Both formats say the same, and a recipe with it quantises otherwise than one without.
    let newer = read(file(&squares)).expect("it is read");
    assert_eq!(
        key(newer.clone()),
        key(read(older(&squares, 4)).expect("it is read"))
    );
    let first_row = |importance| {
        let recipe = Recipe::from(Mix::Q4_0).importance(importance);
        let model = model.as_quantized(&recipe);
        let tensor = model
            .checkpoint()
            .tensor("blk.3.attn_output.weight")
            .expect("a tensor")
            .clone();
        model
            .checkpoint()
            .data(&tensor, 0..tensor.bytes / 576)
            .expect("its data")
            .into_owned()
    };
    assert_ne!(first_row(Some(newer)), first_row(None));
}

#[test]
fn lies_in_the_older_format_are_named() {
    let (mut squares, model) = (InputSquares::default(), "tiny:q8_0,vocab=512");
    let model = model
        .parse::<godwit::low_level::Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    block_on(
        session(&engine(&model, &EngineOptions::default(), false))
            .calibrate(&[1, 2, 3], &mut squares),
    )
    .expect("it calibrates");
    let honest = older(&squares, 1);
    assert!(read(honest.clone()).is_ok());
    let with = |at: usize, word: u32| {
        let mut data = honest.clone();
        data[at..at + 4].copy_from_slice(&word.to_le_bytes());
        read(data)
    };
    let name = squares.sums().next().expect("a matrix").0.len();
    let (count, columns) = (8 + name, 12 + name);
    for (found, says) in [
        (with(0, u32::MAX), "cut short"),
        (with(4, u32::MAX), "cut short"),
        (with(8, u32::MAX), "UTF-8"),
        (with(count, 0), "number 0"),
        (with(columns, u32::MAX), "cut short"),
        (with(columns + 4, f32::NAN.to_bits()), "number 0 is NaN"),
        (with(columns + 4, (-1_f32).to_bits()), "number 0 is -1"),
        (read(honest[..honest.len() / 2].to_vec()), "cut short"),
        (read(b"GG".to_vec()), "cut short"),
    ] {
        let error = found.expect_err(says);
        assert!(error.contains(says), "{says}: {error}");
    }
}
