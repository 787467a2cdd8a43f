//! Whether stored weights are numbers: NaN and infinity come from overflow in a conversion, and from damage.

use super::Format;

impl Format {
    /// Where a block's scales and minima are, half floats all of them. Every weight is finite if they are.
    const fn scales(self) -> &'static [usize] {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => &[],
            Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL | Format::IQ4_XS => &[0],
            Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
            Format::Q2_K => &[80, 82],
            Format::Q3_K => &[108],
            Format::Q6_K => &[208],
        }
    }

    /// Whether all weights of whole blocks are finite. As fast as memory: loading asks it of every weight.
    pub fn is_finite(self, stored: &[u8]) -> bool {
        // Bits without the sign order as magnitudes do. A maximum of all, rather than a search for one, is vectorised.
        let largest = |bits: i16, other: &[u8; 2]| bits.max(i16::from_le_bytes(*other) & 0x7fff);
        match self {
            Format::F32 => {
                let largest = |bits: i32, other: &[u8; 4]| bits.max(i32::from_le_bytes(*other) & 0x7fff_ffff);
                stored.as_chunks().0.iter().fold(0, largest) < 0x7f80_0000
            }
            Format::F16 => stored.as_chunks().0.iter().fold(0, largest) < 0x7c00,
            Format::BF16 => stored.as_chunks().0.iter().fold(0, largest) < 0x7f80,
            _ => {
                let blocks = stored.chunks_exact(self.block_bytes());
                let halves = blocks.flat_map(|block| self.scales().iter().map(|&at| [block[at], block[at + 1]]));
                halves.fold(0, |bits, half| largest(bits, &half)) < 0x7c00
            }
        }
    }

    /// The first weight of whole blocks that is not finite: its place, and what it is.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn no_scale_is_missed() {
        for format in Format::ALL {
            let stored = Random::new(5).stored(format, 7);
            assert!(format.is_finite(&stored), "{format}");
            assert_eq!(format.first_not_finite(&stored), None, "{format}");
            // Every half of the fifth block: it matters exactly where a weight is not finite for it.
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
                    assert_eq!(format.is_finite(&stored), first.is_none(), "{format}, {bits:x} at {at}");
                    assert!(found.is_none_or(|(_, value)| !value.is_finite()));
                    bad += u32::from(first.is_some());
                }
            }
            assert!(bad > 0, "{format}");
        }
    }
}
