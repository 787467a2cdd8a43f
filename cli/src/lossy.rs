//! What quantising a model costs that a person may not expect.

use godwit::WeightFormat;
use godwit::quantize::{Mix, Quantized};

use crate::output::warn;

/// Warns where the model is quantised already: errors add up.
pub fn warn_of_lossy(quantized: &Quantized, mix: Mix) {
    let lossy = quantized.lossy_originals();
    if lossy.is_empty() {
        return;
    }
    let formats: Vec<String> = lossy
        .iter()
        .map(|(format, count)| format!("{count} tensors in {}", format.name()))
        .collect();
    warn(&format!(
        "the model is quantised already ({}); {mix} of it is worse than {mix} of the original: \
         quantise the model as it was published (F16, BF16 or F32) where you can",
        formats.join(", ")
    ));
}

/// A sentence for each format that takes the place of another.
pub fn substituted(quantized: &Quantized) -> Vec<String> {
    let sentence = |(wanted, used, count): (WeightFormat, WeightFormat, usize)| {
        format!(
            "{count} tensors are {} instead of {}: their rows are no multiple of {} weights",
            used.name(),
            wanted.name(),
            wanted.block_len()
        )
    };
    quantized
        .substitutions()
        .into_iter()
        .map(sentence)
        .collect()
}
