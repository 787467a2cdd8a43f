//! What the stored blocks mean: dequantisation on the CPU, bit for bit as GGUF's own tools do it.

use super::Format;

impl Format {
    /// Bytes that `weights` weights take, or `None` where they do not fill whole blocks or the product overflows.
    pub fn bytes(self, weights: u64) -> Option<u64> {
        let block = self.block_len() as u64;
        if !weights.is_multiple_of(block) {
            return None;
        }
        (weights / block).checked_mul(self.block_bytes() as u64)
    }

    /// Dequantises whole blocks.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        let half = |b: &[u8], i: usize| half::f16::from_le_bytes([b[i], b[i + 1]]).to_f32();
        let blocks = bytes.chunks_exact(self.block_bytes()).zip(out.chunks_exact_mut(self.block_len()));
        for (b, o) in blocks {
            match self {
                Format::Q8_0 => (0..32).for_each(|i| o[i] = half(b, 0) * f32::from(b[2 + i] as i8)),
                Format::Q4_1 => (0..32).for_each(|i| {
                    o[i] = half(b, 0) * f32::from(b[4 + i % 16] >> (4 * (i / 16)) & 15) + half(b, 2);
                }),
                _ => o[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            }
        }
    }
}
