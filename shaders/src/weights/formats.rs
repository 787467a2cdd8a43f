//! The table of weight formats. Everything that a format needs beyond code is in its row.

use half::{bf16, f16};

use super::quantize::{self, BlockQuantizer};
use super::quantize_k;
use crate::random::Random;

/// The integer codes of a format's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// The weights are floats.
    None,
    /// Codes from 0 to 127.
    Unsigned,
    /// Codes from -128 to 127.
    Signed,
}

/// A floating-point number in a block: a scale, a minimum, or the weight itself.
#[derive(Clone, Copy, Debug)]
pub struct ScaleField {
    /// Byte offset in the block.
    pub offset: usize,
    /// The largest number that the field is multiplied by in a weight.
    pub largest_factor: f32,
}

/// A format's row in the table.
#[derive(Debug)]
pub struct FormatRow {
    /// The name that GGUF tools print.
    pub name: &'static str,
    /// The `ggml_type` number in a GGUF file.
    pub gguf_type: u32,
    /// Weights in a block.
    pub block_len: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// The integer codes of the weights.
    pub codes: Codes,
    /// The WGSL that unpacks a group.
    pub wgsl: &'static str,
    /// The block's floating-point numbers: f16, or the format itself for the float formats.
    pub scales: &'static [ScaleField],
    /// Quantises one block; `None` for formats that are only read.
    pub quantizer: Option<BlockQuantizer>,
    /// The format for rows that are no whole number of this format's blocks, before F16.
    pub short_row_fallback: Option<WeightFormat>,
    /// Labels in file names of models that mostly consist of this format, the preferred one first.
    pub labels: &'static [&'static str],
    /// The format's place, from 0, when a person names no quantisation: four bits first, then more
    /// exact formats, then coarser ones, then floats.
    pub download_rank: u8,
}

/// Declares [`WeightFormat`], its list [`WeightFormat::ALL`] and its rows from one table.
macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident { $($row:tt)* })*) => {
        /// How the weights of one tensor are stored. Names and numbers are GGUF's (`ggml_type`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types, reason = "the names of the GGUF format")]
        pub enum WeightFormat { $($(#[$doc])* $format,)* }

        const ROWS: &[FormatRow] =
            &[$(FormatRow { name: stringify!($format), $($row)* },)*];

        impl WeightFormat {
            /// Every format, in the order of the table.
            pub const ALL: [Self; ROWS.len()] = [$(Self::$format,)*];
        }
    };
}

const fn scale(offset: usize, largest_factor: f32) -> ScaleField {
    ScaleField {
        offset,
        largest_factor,
    }
}

formats! {
    /// 32-bit floats.
    F32 {
        gguf_type: 0, block_len: 1, block_bytes: 4, codes: Codes::None,
        wgsl: include_str!("wgsl/f32.wgsl"),
        scales: &[scale(0, 1.0)],
        quantizer: Some(|x, _, out| out.copy_from_slice(&x[0].to_le_bytes())),
        short_row_fallback: None,
        labels: &["F32"], download_rank: 14,
    }
    /// IEEE half-precision floats.
    F16 {
        gguf_type: 1, block_len: 1, block_bytes: 2, codes: Codes::None,
        wgsl: include_str!("wgsl/f16.wgsl"),
        scales: &[scale(0, 1.0)],
        quantizer: Some(|x, _, out| out.copy_from_slice(&f16::from_f32(x[0]).to_le_bytes())),
        short_row_fallback: None,
        labels: &["F16"], download_rank: 13,
    }
    /// 32 weights of 4 bits, an f16 scale: `d * (q - 8)`.
    Q4_0 {
        gguf_type: 2, block_len: 32, block_bytes: 18, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q4_0.wgsl"),
        scales: &[scale(0, 16.0)],
        quantizer: Some(quantize::symmetric_codes::<8>),
        short_row_fallback: None,
        labels: &["Q4_0"], download_rank: 4,
    }
    /// 32 weights of 4 bits, f16 scale and minimum: `d * q + m`.
    Q4_1 {
        gguf_type: 3, block_len: 32, block_bytes: 20, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q4_1.wgsl"),
        scales: &[scale(0, 16.0), scale(2, 1.0)],
        quantizer: Some(quantize::with_minimum::<15>),
        short_row_fallback: None,
        labels: &["Q4_1"], download_rank: 3,
    }
    /// 32 weights of 5 bits, an f16 scale: `d * (q - 16)`.
    Q5_0 {
        gguf_type: 6, block_len: 32, block_bytes: 22, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q5_0.wgsl"),
        scales: &[scale(0, 16.0)],
        quantizer: Some(quantize::symmetric_codes::<16>),
        short_row_fallback: None,
        labels: &["Q5_0"], download_rank: 7,
    }
    /// 32 weights of 5 bits, f16 scale and minimum: `d * q + m`.
    Q5_1 {
        gguf_type: 7, block_len: 32, block_bytes: 24, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q5_1.wgsl"),
        scales: &[scale(0, 16.0), scale(2, 1.0)],
        quantizer: Some(quantize::with_minimum::<31>),
        short_row_fallback: None,
        labels: &["Q5_1"], download_rank: 6,
    }
    /// 32 weights of 8 bits, an f16 scale: `d * q`.
    Q8_0 {
        gguf_type: 8, block_len: 32, block_bytes: 34, codes: Codes::Signed,
        wgsl: include_str!("wgsl/q8_0.wgsl"),
        scales: &[scale(0, 128.0)],
        quantizer: Some(quantize::signed_bytes),
        short_row_fallback: None,
        labels: &["Q8_0"], download_rank: 9,
    }
    /// 256 weights of 2 bits in 16 groups of 4-bit scale and minimum.
    Q2_K {
        gguf_type: 10, block_len: 256, block_bytes: 84, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q2_k.wgsl"),
        scales: &[scale(80, 48.0), scale(82, 16.0)],
        quantizer: Some(quantize_k::q2),
        short_row_fallback: Some(WeightFormat::Q4_0),
        labels: &["Q2_K", "Q2_K_S"], download_rank: 11,
    }
    /// 256 weights of 3 bits in 16 groups of 6-bit scale.
    Q3_K {
        gguf_type: 11, block_len: 256, block_bytes: 110, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q3_k.wgsl"),
        scales: &[scale(108, 128.0)],
        quantizer: Some(quantize_k::q3),
        short_row_fallback: Some(WeightFormat::Q4_0),
        labels: &["Q3_K_L", "Q3_K_M", "Q3_K_S"], download_rank: 10,
    }
    /// 256 weights of 4 bits in 8 groups of 6-bit scale and minimum.
    Q4_K {
        gguf_type: 12, block_len: 256, block_bytes: 144, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q4_k.wgsl"),
        scales: &[scale(0, 1024.0), scale(2, 64.0)],
        quantizer: Some(quantize_k::q4_q5::<15>),
        short_row_fallback: Some(WeightFormat::Q5_0),
        labels: &["Q4_K_M", "Q4_K_S", "Q4_K", "Q4_K_L", "Q4_K_XL"], download_rank: 0,
    }
    /// 256 weights of 5 bits in 8 groups of 6-bit scale and minimum.
    Q5_K {
        gguf_type: 13, block_len: 256, block_bytes: 176, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q5_k.wgsl"),
        scales: &[scale(0, 1024.0), scale(2, 64.0)],
        quantizer: Some(quantize_k::q4_q5::<31>),
        short_row_fallback: Some(WeightFormat::Q5_1),
        labels: &["Q5_K_M", "Q5_K_S", "Q5_K"], download_rank: 5,
    }
    /// 256 weights of 6 bits in 16 groups of 8-bit scale.
    Q6_K {
        gguf_type: 14, block_len: 256, block_bytes: 210, codes: Codes::Unsigned,
        wgsl: include_str!("wgsl/q6_k.wgsl"),
        scales: &[scale(208, 4096.0)],
        quantizer: Some(quantize_k::q6),
        short_row_fallback: Some(WeightFormat::Q8_0),
        labels: &["Q6_K"], download_rank: 8,
    }
    /// 32 weights of 4 bits that index a fixed table, an f16 scale.
    IQ4_NL {
        gguf_type: 20, block_len: 32, block_bytes: 18, codes: Codes::Signed,
        wgsl: include_str!("wgsl/iq4_nl.wgsl"),
        scales: &[scale(0, 128.0)],
        quantizer: None,
        short_row_fallback: None,
        labels: &["IQ4_NL"], download_rank: 1,
    }
    /// 256 weights of 4 bits that index the same table, 8 groups of 6-bit scale.
    IQ4_XS {
        gguf_type: 23, block_len: 256, block_bytes: 136, codes: Codes::Signed,
        wgsl: include_str!("wgsl/iq4_xs.wgsl"),
        scales: &[scale(0, 4096.0)],
        quantizer: None,
        short_row_fallback: None,
        labels: &["IQ4_XS"], download_rank: 2,
    }
    /// bfloat16: the upper half of an f32.
    BF16 {
        gguf_type: 30, block_len: 1, block_bytes: 2, codes: Codes::None,
        wgsl: include_str!("wgsl/bf16.wgsl"),
        scales: &[scale(0, 1.0)],
        quantizer: Some(|x, _, out| out.copy_from_slice(&bf16::from_f32(x[0]).to_le_bytes())),
        short_row_fallback: None,
        labels: &["BF16"], download_rank: 12,
    }
}

impl WeightFormat {
    /// The format's row in the table.
    pub const fn row(self) -> &'static FormatRow {
        &ROWS[self as usize]
    }

    /// The name that GGUF tools print, such as `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The `ggml_type` number in a GGUF file.
    pub const fn gguf_type(self) -> u32 {
        self.row().gguf_type
    }

    /// Weights per block: 1 for the float formats, else 32 or 256.
    pub const fn block_len(self) -> usize {
        self.row().block_len
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// The WGSL that unpacks a group.
    pub const fn wgsl(self) -> &'static str {
        self.row().wgsl
    }

    /// Whether weights are scaled integer codes of at most a byte.
    pub fn has_codes(self) -> bool {
        self.row().codes != Codes::None
    }

    /// The names that the format defines for `#ifdef`: `CODES` where weights are integer codes,
    /// `SIGNED` where these are signed.
    pub(crate) const fn defines(self) -> &'static [&'static str] {
        match self.row().codes {
            Codes::None => &[],
            Codes::Unsigned => &["CODES"],
            Codes::Signed => &["CODES", "SIGNED"],
        }
    }

    /// The formats that [`WeightFormat::quantize`] writes.
    pub fn writable() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|format| format.row().quantizer.is_some())
    }

    /// The format of a `ggml_type` number, if Godwit reads it.
    pub fn from_gguf_type(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.gguf_type() == number)
    }

    /// The format of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The labels of all formats in file names, in the order in which downloads prefer them.
    pub fn labels_by_preference() -> Vec<&'static str> {
        let mut formats = Self::ALL;
        formats.sort_by_key(|format| format.row().download_rank);
        formats
            .iter()
            .flat_map(|format| format.row().labels)
            .copied()
            .collect()
    }

    /// Random stored blocks whose scales are of the size that trained models have.
    pub fn random_blocks(self, random: &mut Random, blocks: usize) -> Vec<u8> {
        let mut stored = vec![0; blocks * self.block_bytes()];
        random.fill_bytes(&mut stored);
        for block in stored.chunks_exact_mut(self.block_bytes()) {
            for field in self.row().scales {
                let value = random.normal() * 0.05 / field.largest_factor;
                let half_place = field.offset..field.offset + 2;
                match self {
                    Self::F32 => block.copy_from_slice(&value.to_le_bytes()),
                    Self::BF16 => block.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
                    _ => block[half_place].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                }
            }
        }
        stored
    }
}

impl std::fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::GROUP;

    #[test]
    fn rows_agree_with_each_other() {
        let mut numbers: Vec<u32> = WeightFormat::ALL.iter().map(|f| f.gguf_type()).collect();
        let mut ranks: Vec<u8> = WeightFormat::ALL
            .iter()
            .map(|f| f.row().download_rank)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        ranks.sort_unstable();
        assert_eq!(
            numbers.len(),
            WeightFormat::ALL.len(),
            "GGUF numbers are unique"
        );
        assert!(
            ranks.iter().copied().eq(0..WeightFormat::ALL.len() as u8),
            "{ranks:?}"
        );
        for format in WeightFormat::ALL {
            let row = format.row();
            assert_eq!(row.name, format!("{format:?}"));
            assert!(
                row.block_len == 1 || row.block_len.is_multiple_of(GROUP),
                "{format}"
            );
            assert!(
                row.scales
                    .iter()
                    .all(|field| field.offset + 2 <= row.block_bytes),
                "{format}"
            );
            assert!(
                row.labels.iter().all(|label| label.starts_with(row.name)),
                "{format}"
            );
            if let Some(fallback) = row.short_row_fallback {
                assert!(fallback.block_len() < row.block_len, "{format}");
                assert!(fallback.row().quantizer.is_some(), "{format}");
            }
        }
    }
}
