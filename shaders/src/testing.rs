//! Inputs for cases: the same on every machine, with the outliers that real activations have.

use crate::weights::WeightFormat;
use crate::weights::pack;

/// A small generator of repeatable numbers (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly between 0 and 1, 1 left out.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// About normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    /// Fills with random bytes.
    pub fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|b| *b = self.bits() as u8);
    }

    /// Activations: normal, one in a hundred thirty times as large.
    pub fn activations(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| {
                self.normal()
                    * if self.bits().is_multiple_of(100) {
                        30.0
                    } else {
                        1.0
                    }
            })
            .collect()
    }

    /// A packed matrix `[rows, width]` of [`Random::stored`] blocks.
    pub fn matrix(&mut self, format: WeightFormat, rows: usize, width: usize) -> Vec<u32> {
        pack(
            format,
            width,
            &self.stored(format, rows * width / format.block_len()),
        )
    }

    /// Random blocks of weights, as a file stores them, whose scales are those of a trained model.
    pub fn stored(&mut self, format: WeightFormat, blocks: usize) -> Vec<u8> {
        let mut stored = vec![0; blocks * format.block_bytes()];
        self.fill_bytes(&mut stored);
        for block in stored.chunks_exact_mut(format.block_bytes()) {
            for (at, size) in scale_fields(format) {
                let value = self.normal() * 0.05 / size;
                match format {
                    WeightFormat::F32 => block.copy_from_slice(&value.to_le_bytes()),
                    WeightFormat::BF16 => {
                        block.copy_from_slice(&half::bf16::from_f32(value).to_le_bytes())
                    }
                    _ => {
                        block[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_le_bytes())
                    }
                }
            }
        }
        stored
    }
}

/// Where a block's half-precision numbers are, and how large what they multiply gets.
fn scale_fields(format: WeightFormat) -> Vec<(usize, f32)> {
    match format {
        WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 => vec![(0, 1.0)],
        WeightFormat::Q4_0 | WeightFormat::Q5_0 => vec![(0, 16.0)],
        WeightFormat::Q4_1 | WeightFormat::Q5_1 => vec![(0, 16.0), (2, 1.0)],
        WeightFormat::Q8_0 | WeightFormat::IQ4_NL => vec![(0, 128.0)],
        WeightFormat::Q2_K => vec![(80, 48.0), (82, 16.0)],
        WeightFormat::Q3_K => vec![(108, 128.0)],
        WeightFormat::Q4_K | WeightFormat::Q5_K => vec![(0, 1024.0), (2, 64.0)],
        WeightFormat::Q6_K => vec![(208, 4096.0)],
        WeightFormat::IQ4_XS => vec![(0, 4096.0)],
    }
}

/// Floats as the words of a buffer.
pub fn words(floats: &[f32]) -> Vec<u32> {
    bytemuck::cast_slice(floats).to_vec()
}
