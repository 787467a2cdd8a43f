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
}
