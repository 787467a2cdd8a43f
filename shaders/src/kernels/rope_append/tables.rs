use crate::kernel::Step;

/// Rotations of all positions of a context window, as products of two small tables.
///
/// Position `1024 a + b` rotates pair `i` by `(1024 a + b) f_i`. Row `b` of the first 1024 rows
/// holds `(cos, sin)` of `b f_i`, row `1024 + a` that of `1024 a f_i`. Both are computed in f64 and
/// stored in f32: the product is within 2e-7 of the exact rotation at every position.
#[derive(Clone, Debug)]
pub struct RopeTables {
    /// `[1024 + ceil(window / 1024), pairs, 2]`.
    pub floats: Vec<f32>,
}

impl RopeTables {
    /// Bytes of the tables for `window` positions, where `rotary_dim` floats of a head are rotated.
    pub fn bytes(rotary_dim: u32, window: u32) -> u64 {
        4 * u64::from(rotary_dim) * u64::from(1024 + window.div_ceil(1024))
    }

    /// Tables for `window` positions and these frequencies: radians per position, one for each
    /// rotated pair. Every rotation is also scaled by `scale` (yarn's attention factor; else 1).
    pub fn new(frequencies: &[f64], scale: f64, window: u32) -> Self {
        let fine = (0..1024).map(|b| (f64::from(b), scale));
        let coarse = (0..window.div_ceil(1024)).map(|a| (1024.0 * f64::from(a), 1.0));
        let mut floats = Vec::new();
        for (position, scale) in fine.chain(coarse) {
            for frequency in frequencies {
                let (sin, cos) = (position * frequency).sin_cos();
                floats.extend([(cos * scale) as f32, (sin * scale) as f32]);
            }
        }
        Self { floats }
    }
}

/// Words of the tables up to the last one that a step's rotations read.
pub(crate) fn table_words(rotary_dim: u32, step: Step) -> u64 {
    let last = u64::from(step.position) + u64::from(step.count.saturating_sub(1));
    u64::from(rotary_dim) * (1024 + last / 1024 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_two_ulp_at_a_million() {
        let frequencies: Vec<f64> = (0..64)
            .map(|i| 3.58e9_f64.powf(-f64::from(i) / 64.0))
            .collect();
        let tables = RopeTables::new(&frequencies, 1.0, 1 << 20);
        let row = |r: usize, i: usize| {
            let cos = (r * 64 + i) * 2;
            (tables.floats[cos], tables.floats[cos + 1])
        };
        for position in [0_u32, 1, 1023, 1024, 65_537, 1_000_003, (1 << 20) - 1] {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (c0, s0) = row(position as usize % 1024, i);
                let (c1, s1) = row(1024 + position as usize / 1024, i);
                let (sin, cos) = (f64::from(position) * frequency).sin_cos();
                let cos_error = (f64::from(c0 * c1 - s0 * s1) - cos).abs();
                let sin_error = (f64::from(c0 * s1 + s0 * c1) - sin).abs();
                assert!(
                    cos_error < 2.5e-7,
                    "cos at {position}, pair {i}: off by {cos_error}"
                );
                assert!(
                    sin_error < 2.5e-7,
                    "sin at {position}, pair {i}: off by {sin_error}"
                );
            }
        }
    }
}
