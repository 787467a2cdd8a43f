//! CPU dequantisation against the `gguf` Python package's, bit for bit, on random blocks
//! (`tests/golden/dequant.py`).

use std::path::PathBuf;

use godwit_shaders::WeightFormat;

#[test]
fn equals_the_gguf_package() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/dequant");
    let folder = std::env::var_os("GODWIT_DEQUANT").map_or_else(|| committed.into(), PathBuf::from);
    for format in WeightFormat::ALL {
        let path = folder.join(format!("{format}.bin"));
        let bytes = std::fs::read(&path).expect("tests/golden/dequant.py writes the files");
        let blocks = bytes.len() / (format.block_bytes() + 4 * format.block_len());
        let (stored, weights) = bytes.split_at(blocks * format.block_bytes());
        let expected: Vec<u32> = bytemuck::pod_collect_to_vec(weights);
        assert_eq!(expected.len(), blocks * format.block_len(), "{format}");
        let mut found = vec![0.0_f32; expected.len()];
        format.dequantize(stored, &mut found);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // A zero's sign is lost in some of the package's integer steps, and matters to nobody.
            let same =
                found.to_bits() == *expected || (*found == 0.0 && f32::from_bits(*expected) == 0.0);
            assert!(
                same,
                "{format} weight {i}: {found:e}, not {:e}",
                f32::from_bits(*expected)
            );
        }
    }
}
