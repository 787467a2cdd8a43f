//! The check that stored weights are finite. NaN and infinity come from overflow in a conversion,
//! and from damaged files.

use super::WeightFormat;

impl WeightFormat {
    /// Whether all weights of whole blocks are finite.
    ///
    /// A block's weights are finite if its f16 scale and minimum are. Loading checks all weights,
    /// so the check runs at the speed of memory.
    pub fn is_finite(self, stored: &[u8]) -> bool {
        match self {
            WeightFormat::F32 => {
                // Bits without the sign order like magnitudes. A maximum over all is vectorised; a
                // search for the first is not.
                let largest =
                    |bits: i32, float: &[u8; 4]| bits.max(i32::from_le_bytes(*float) & 0x7fff_ffff);
                stored.as_chunks().0.iter().fold(0, largest) < 0x7f80_0000
            }
            WeightFormat::F16 => largest_f16::<2, 0, 0>(stored) < 0x7c00,
            WeightFormat::BF16 => largest_f16::<2, 0, 0>(stored) < 0x7f80,
            WeightFormat::Q4_0 | WeightFormat::IQ4_NL => largest_f16::<18, 0, 0>(stored) < 0x7c00,
            WeightFormat::Q4_1 => largest_f16::<20, 0, 2>(stored) < 0x7c00,
            WeightFormat::Q5_0 => largest_f16::<22, 0, 0>(stored) < 0x7c00,
            WeightFormat::Q5_1 => largest_f16::<24, 0, 2>(stored) < 0x7c00,
            WeightFormat::Q8_0 => largest_f16::<34, 0, 0>(stored) < 0x7c00,
            WeightFormat::Q2_K => largest_f16::<84, 80, 82>(stored) < 0x7c00,
            WeightFormat::Q3_K => largest_f16::<110, 108, 108>(stored) < 0x7c00,
            WeightFormat::Q4_K => largest_f16::<144, 0, 2>(stored) < 0x7c00,
            WeightFormat::Q5_K => largest_f16::<176, 0, 2>(stored) < 0x7c00,
            WeightFormat::Q6_K => largest_f16::<210, 208, 208>(stored) < 0x7c00,
            WeightFormat::IQ4_XS => largest_f16::<136, 0, 0>(stored) < 0x7c00,
        }
    }

    /// The index and value of the first weight that is not finite.
    pub fn first_not_finite(self, stored: &[u8]) -> Option<(usize, f32)> {
        let mut weights = vec![0.0; self.block_len()];
        for (number, block) in stored.chunks_exact(self.block_bytes()).enumerate() {
            if !self.is_finite(block) {
                self.dequantize(block, &mut weights);
                let at = weights.iter().position(|weight| !weight.is_finite())?;
                return Some((number * self.block_len() + at, weights[at]));
            }
        }
        None
    }
}

/// The largest bits, without the sign, of the 16-bit floats at two offsets of each block.
fn largest_f16<const BLOCK: usize, const FIRST: usize, const SECOND: usize>(stored: &[u8]) -> i16 {
    let half =
        |block: &[u8; BLOCK], at: usize| i16::from_le_bytes([block[at], block[at + 1]]) & 0x7fff;
    let blocks = stored.as_chunks::<BLOCK>().0.iter();
    blocks.fold(0, |largest, block| {
        largest.max(half(block, FIRST)).max(half(block, SECOND))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn no_scale_is_missed() {
        for format in WeightFormat::ALL {
            let stored = format.random_blocks(&mut Random::new(5), 7);
            assert!(format.is_finite(&stored), "{format}");
            assert_eq!(format.first_not_finite(&stored), None, "{format}");
            // Every 16-bit word of the fifth block, changed to bits that are not finite.
            let block = 4 * format.block_bytes();
            let mut bad = 0;
            for at in (0..format.block_bytes() - 1).step_by(2) {
                for bits in [0x7c00_u16, 0xfc00, 0x7e01, 0xfe01, 0x7f80, 0xff80] {
                    let mut stored = stored.clone();
                    stored[block + at..][..2].copy_from_slice(&bits.to_le_bytes());
                    let mut weights = vec![0.0; 7 * format.block_len()];
                    format.dequantize(&stored, &mut weights);
                    let first = weights.iter().position(|weight| !weight.is_finite());
                    let found = format.first_not_finite(&stored);
                    assert_eq!(found.map(|(at, _)| at), first, "{format}, {bits:x} at {at}");
                    assert_eq!(
                        format.is_finite(&stored),
                        first.is_none(),
                        "{format}, {bits:x} at {at}"
                    );
                    assert!(found.is_none_or(|(_, value)| !value.is_finite()));
                    bad += u32::from(first.is_some());
                }
            }
            assert!(bad > 0, "{format}");
        }
    }
}
