//! Inputs for test cases: the same on every machine, with the outliers that real activations have.

use crate::weights::{WeightFormat, pack};

pub use crate::random::Random;

impl Random {
    /// Activations: normal numbers, one in a hundred of which is thirty times as large.
    pub fn activations(&mut self, len: usize) -> Vec<f32> {
        let mut activation = || {
            let scale = |is_outlier: bool| if is_outlier { 30.0 } else { 1.0 };
            self.normal() * scale(self.bits().is_multiple_of(100))
        };
        (0..len).map(|_| activation()).collect()
    }

    /// A packed matrix `[rows, width]` of [random blocks](WeightFormat::random_blocks).
    pub fn matrix(&mut self, format: WeightFormat, rows: usize, width: usize) -> Vec<u32> {
        let blocks = rows * width / format.block_len();
        pack(format, width, &format.random_blocks(self, blocks))
    }
}

/// Floats as the 32-bit words of a buffer.
pub fn words(floats: &[f32]) -> Vec<u32> {
    bytemuck::cast_slice(floats).to_vec()
}
