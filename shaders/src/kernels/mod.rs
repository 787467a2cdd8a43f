//! Every kernel in a folder of its own: WGSL, host wrapper, naive reference and test cases.

pub mod add_bias;
pub mod adjust;
pub mod argmax;
pub mod attention;
pub mod column_squares;
pub mod embed;
pub mod fma_rate;
pub mod log_probs;
pub mod matmul;
pub mod read_rate;
pub mod rms_norm;
pub mod rope_append;
pub mod rope_attention;
pub mod sample;
pub mod swiglu;

use crate::kernel::Kernel;

/// Every kernel.
pub static KERNELS: [&Kernel; 20] = [
    &embed::EMBED,
    &rms_norm::RMS_NORM,
    &matmul::MATMUL,
    &add_bias::ADD_BIAS,
    &swiglu::SWIGLU,
    &rope_append::ROPE_APPEND,
    &rope_attention::ROPE_ATTENTION,
    &attention::ATTENTION,
    &attention::tail::ATTENTION_TAIL,
    &attention::combine::ATTENTION_COMBINE,
    &rope_append::paged::ROPE_APPEND_PAGED,
    &attention::paged::ATTENTION_PAGED,
    &attention::combine::paged::ATTENTION_COMBINE_PAGED,
    &adjust::ADJUST,
    &argmax::ARGMAX,
    &sample::SAMPLE,
    &log_probs::LOG_PROBS,
    &column_squares::COLUMN_SQUARES,
    &read_rate::READ_RATE,
    &fma_rate::FMA_RATE,
];
