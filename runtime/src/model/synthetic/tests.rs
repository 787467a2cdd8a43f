//! Tests of synthetic models: how shapes are read, and that every read sees the same bytes.

use super::*;

#[test]
fn shapes_are_read() {
    let shape: Synthetic = "llama3-8b:q4_k,layers=4,context=128k"
        .parse()
        .expect("a shape");
    let Config {
        layers,
        width,
        context,
        ..
    } = shape.config;
    assert_eq!(
        (layers, width, context, shape.format),
        (4, 4096, 1 << 17, WeightFormat::Q4_K)
    );
    for bad in [
        "",
        "llama9",
        "tiny:q9",
        "tiny,layers",
        "tiny,depth=3",
        "tiny,width=100",
        "tiny,layers=1m",
    ] {
        assert!(bad.parse::<Synthetic>().is_err(), "{bad}");
    }
}

#[test]
fn every_read_sees_the_same_file() {
    let shape: Synthetic = "tiny:q8_0,vocab=300".parse().expect("a shape");
    let noise = Noise::new(&shape);
    let mut all = vec![0; noise.len() as usize];
    noise.read(0, &mut all).expect("all of it");
    for (from, len) in [
        (0, 5),
        (noise.header.len() - 3, 7),
        (noise.header.len() + 1_000_001, 300_000),
    ] {
        let mut part = vec![0; len];
        noise.read(from as u64, &mut part).expect("a part");
        assert_eq!(part, all[from..from + len], "{len} bytes at {from}");
    }
    assert!(noise.read(noise.len() - 1, &mut [0; 2]).is_err());
    let model = shape.model().expect("a model");
    let norm = model
        .checkpoint()
        .tensor("output_norm.weight")
        .expect("a norm");
    assert_eq!(
        model.checkpoint().data(norm, 0..8).expect("its data")[..],
        [0, 0, 128, 63, 0, 0, 128, 63]
    );
}
