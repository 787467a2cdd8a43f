//! Weight formats: how a block of weights is stored in a model file, what it means, and how the GPU
//! reads it.
//!
//! The storage layouts are those of the GGUF format (ggml's `block_*` structures). [`dequant`]
//! gives their meaning on the CPU.

pub mod dequant;
mod finite;
mod matrix;
mod planes;
mod quantize;
mod quantize_k;
mod search;
mod unpack;

pub use matrix::{Matrix, Shard, pack, pack_tile, unpack_row};
pub use planes::{GROUP, TILE};
pub use quantize::NoQuantizer;

/// How the weights of one tensor are stored.
///
/// Names and numbers are GGUF's (`ggml_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types, reason = "the names of the GGUF format")]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// bfloat16.
    BF16,
    /// 32 weights of 4 bits, an f16 scale: `d * (q - 8)`.
    Q4_0,
    /// 32 weights of 4 bits, f16 scale and minimum: `d * q + m`.
    Q4_1,
    /// 32 weights of 5 bits, an f16 scale: `d * (q - 16)`.
    Q5_0,
    /// 32 weights of 5 bits, f16 scale and minimum: `d * q + m`.
    Q5_1,
    /// 32 weights of 8 bits, an f16 scale: `d * q`.
    Q8_0,
    /// 256 weights of 2 bits in 16 groups of 4-bit scale and minimum.
    Q2_K,
    /// 256 weights of 3 bits in 16 groups of 6-bit scale.
    Q3_K,
    /// 256 weights of 4 bits in 8 groups of 6-bit scale and minimum.
    Q4_K,
    /// 256 weights of 5 bits in 8 groups of 6-bit scale and minimum.
    Q5_K,
    /// 256 weights of 6 bits in 16 groups of 8-bit scale.
    Q6_K,
    /// 32 weights of 4 bits looked up in a fixed table, an f16 scale.
    IQ4_NL,
    /// 256 weights of 4 bits looked up in the same table, 8 groups of 6-bit scale.
    IQ4_XS,
}

impl WeightFormat {
    /// Every format, in GGUF's order.
    pub const ALL: [WeightFormat; 15] = [
        WeightFormat::F32,
        WeightFormat::F16,
        WeightFormat::Q4_0,
        WeightFormat::Q4_1,
        WeightFormat::Q5_0,
        WeightFormat::Q5_1,
        WeightFormat::Q8_0,
        WeightFormat::Q2_K,
        WeightFormat::Q3_K,
        WeightFormat::Q4_K,
        WeightFormat::Q5_K,
        WeightFormat::Q6_K,
        WeightFormat::IQ4_NL,
        WeightFormat::IQ4_XS,
        WeightFormat::BF16,
    ];

    /// `(name, GGUF type number, weights per block, bytes per block)`.
    const fn row(self) -> (&'static str, u32, usize, usize) {
        match self {
            WeightFormat::F32 => ("F32", 0, 1, 4),
            WeightFormat::F16 => ("F16", 1, 1, 2),
            WeightFormat::Q4_0 => ("Q4_0", 2, 32, 18),
            WeightFormat::Q4_1 => ("Q4_1", 3, 32, 20),
            WeightFormat::Q5_0 => ("Q5_0", 6, 32, 22),
            WeightFormat::Q5_1 => ("Q5_1", 7, 32, 24),
            WeightFormat::Q8_0 => ("Q8_0", 8, 32, 34),
            WeightFormat::Q2_K => ("Q2_K", 10, 256, 84),
            WeightFormat::Q3_K => ("Q3_K", 11, 256, 110),
            WeightFormat::Q4_K => ("Q4_K", 12, 256, 144),
            WeightFormat::Q5_K => ("Q5_K", 13, 256, 176),
            WeightFormat::Q6_K => ("Q6_K", 14, 256, 210),
            WeightFormat::IQ4_NL => ("IQ4_NL", 20, 32, 18),
            WeightFormat::IQ4_XS => ("IQ4_XS", 23, 256, 136),
            WeightFormat::BF16 => ("BF16", 30, 1, 2),
        }
    }

    /// The format's name as GGUF tools print it, such as `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The `ggml_type` number a GGUF file holds.
    pub const fn gguf_type(self) -> u32 {
        self.row().1
    }

    /// Weights per block: 1 for the float formats, else 32 or 256.
    pub const fn block_len(self) -> usize {
        self.row().2
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        self.row().3
    }

    /// What an `#ifdef` in a kernel may ask of it: `CODES`, whether weights are integer codes,
    /// scaled; `SIGNED`, whether those are signed; `TWO_SCALES`, whether a group's halves have
    /// scales of their own.
    pub(crate) const fn defines(self) -> &'static [&'static str] {
        match self {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 => &[],
            WeightFormat::Q8_0 | WeightFormat::IQ4_NL | WeightFormat::IQ4_XS => {
                &["CODES", "SIGNED"]
            }
            WeightFormat::Q2_K | WeightFormat::Q3_K | WeightFormat::Q6_K => {
                &["CODES", "TWO_SCALES"]
            }
            _ => &["CODES"],
        }
    }

    /// Whether weights are integer codes of a byte at most, scaled.
    pub fn has_codes(self) -> bool {
        self.defines().contains(&"CODES")
    }

    /// The format a `ggml_type` number stands for, where it is one that Godwit reads.
    pub fn from_gguf_type(number: u32) -> Option<WeightFormat> {
        WeightFormat::ALL
            .into_iter()
            .find(|f| f.gguf_type() == number)
    }
}

impl std::fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
