//! The Walsh-Hadamard transform of cached vectors, in f64.

/// The orthonormal Walsh-Hadamard transform of each block of a vector; its own inverse.
pub(crate) fn hadamard(vector: &mut [f32], block: u32) {
    let block = block as usize;
    for chunk in vector.chunks_exact_mut(block) {
        let old: Vec<f64> = chunk.iter().map(|&x| x.into()).collect();
        for (i, new) in chunk.iter_mut().enumerate() {
            let sign = |j: usize| {
                if (i & j).count_ones().is_multiple_of(2) {
                    1.0
                } else {
                    -1.0
                }
            };
            let sum: f64 = old.iter().enumerate().map(|(j, x)| sign(j) * x).sum();
            *new = (sum / (block as f64).sqrt()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_transform_is_its_own_inverse() {
        for (head_dim, block) in [(64, 64), (80, 16), (96, 32), (128, 128)] {
            let vector = Random::new(2).activations(head_dim);
            let mut twice = vector.clone();
            hadamard(&mut twice, block);
            assert_ne!(twice, vector);
            hadamard(&mut twice, block);
            assert!(vector.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
