use super::shape::{
    CPU_GEMM, CPU_GEMM_SUBGROUP, CPU_GEMV, CPU_GEMV_SUBGROUP, GEMM, GEMM_COOP, GEMM_F16, GEMV,
    GEMV_DP4A, GEMV_DP4A_NARROW, GEMV_DP4A_SHARED, GEMV_NARROW, Shape,
};
use super::{Epilogue, MATMUL, Params, x_rows_at_once};
use crate::kernel::{Case, DispatchFixture, Step, Variant};
use crate::testing::{Random, words};
use crate::weights::{GROUP, WeightFormat};

/// A product: rows and width of the shard, tokens, and the row of `y` that it begins with.
struct Product {
    format: WeightFormat,
    rows: u32,
    width: u32,
    tokens: u32,
    first: u32,
    epilogue: Epilogue,
    normed: bool,
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        for (shape, tokens) in [
            (GEMV, 1),
            (GEMV_DP4A, 1),
            (CPU_GEMV, 1),
            (CPU_GEMV_SUBGROUP, 1),
            (CPU_GEMM, 13),
            (CPU_GEMM_SUBGROUP, 13),
            (GEMM, 13),
            (GEMM_F16, 13),
            (GEMM_COOP, 13),
        ] {
            if !MATMUL.variants[shape.variant].takes(Some(format)) {
                continue;
            }
            cases.push(case(
                shape,
                Product {
                    format,
                    rows: 300,
                    width: 768,
                    tokens,
                    first: 0,
                    epilogue: Epilogue::Store,
                    normed: false,
                },
            ));
        }
    }
    for (shape, tokens) in [
        (GEMV, 1),
        (GEMV_NARROW, 1),
        (GEMV_DP4A, 1),
        (GEMV_DP4A_SHARED, 1),
        (GEMV_DP4A_NARROW, 1),
        (CPU_GEMV, 1),
        (CPU_GEMV_SUBGROUP, 1),
        (CPU_GEMM, 70),
        (CPU_GEMM_SUBGROUP, 70),
        (GEMM, 140),
        (GEMM_F16, 140),
        (GEMM_COOP, 140),
    ] {
        // Rows of a shard in the middle of y, added; gated ones; the shapes of small models.
        for (format, rows, width, first, epilogue) in [
            (WeightFormat::Q4_1, 576, 576, 64, Epilogue::Accumulate),
            (WeightFormat::Q4_K, 640, 512, 32, Epilogue::SwiGlu),
            (WeightFormat::Q5_K, 320, 512, 32, Epilogue::SwiGluInPlace),
            (WeightFormat::Q4_1, 1536, 576, 0, Epilogue::Store),
            (WeightFormat::Q4_1, 576, 1536, 32, Epilogue::Accumulate),
            (WeightFormat::Q8_0, 4096, 576, 0, Epilogue::Store),
            (WeightFormat::Q4_0, 64, 8_320, 0, Epilogue::Store),
        ] {
            cases.push(case(
                shape,
                Product {
                    format,
                    rows,
                    width,
                    tokens,
                    first,
                    epilogue,
                    normed: false,
                },
            ));
        }
    }
    for shape in [GEMV, GEMV_DP4A, CPU_GEMV_SUBGROUP] {
        for (format, rows, width, epilogue) in [
            (WeightFormat::Q4_1, 960, 576, Epilogue::Store),
            (WeightFormat::Q6_K, 640, 512, Epilogue::SwiGlu),
        ] {
            cases.push(case(
                shape,
                Product {
                    format,
                    rows,
                    width,
                    tokens: 1,
                    first: 0,
                    epilogue,
                    normed: true,
                },
            ));
        }
    }
    cases
}

fn case(shape: Shape, product: Product) -> Case {
    let Product {
        format,
        rows,
        width,
        tokens,
        first,
        epilogue,
        normed,
    } = product;
    let mut random = Random::new(u64::from(rows * 31 + width * 7 + tokens));
    // The first dispatch dimension is too short for all.
    let workgroups = shape.workgroups(rows, tokens, 3);
    let own = if epilogue == Epilogue::SwiGlu {
        rows / 2
    } else {
        rows
    };
    let y_width = first + own + 3;
    // Products of one token are of the first.
    let x_first = if tokens > 1 { first / 32 } else { 0 };
    let params = Params {
        groups: width / GROUP as u32,
        rows,
        first,
        y_width,
        x_first,
        tokens: 0,
        epilogue: epilogue as u32,
        across: workgroups[0],
        row_words: format.row_words(width as usize) as u32,
        normed: normed.into(),
        eps: 1e-5,
    };
    let weights = random.matrix(format, rows as usize, width as usize);
    let mut x = random.activations((tokens * width) as usize);
    let y = random.activations((tokens * y_width) as usize);
    // What is not normalised has no norm that may be read.
    let norm = if normed {
        random.activations(width as usize)
    } else {
        vec![f32::NAN; width as usize]
    };
    // Rows that make whole groups of the tokens', which may be read but not used.
    let x_rows = tokens.next_multiple_of(x_rows_at_once(&MATMUL.variants[shape.variant]));
    x.resize((x_rows * width) as usize, f32::NAN);
    // Rows before the first, which are not to be read.
    x.splice(0..0, random.activations((x_first * width) as usize));
    let overrides = shape.overrides(epilogue, normed, format, rows, width, workgroups[0]);
    let normed = if normed { " normed" } else { "" };
    let splits = shape.overrides.iter().find(|(name, _)| *name == "SPLITS");
    let splits = splits.map_or(String::new(), |(_, splits)| format!(" splits {splits}"));
    Case {
        name: format!("{format} {rows}x{width} tokens {tokens}{splits} {epilogue:?}{normed}"),
        variant: shape.variant,
        overrides,
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(5, tokens),
            format: Some(format),
            buffers: vec![weights.clone(), weights, words(&x), words(&norm), words(&y)],
            workgroups,
        },
        // In halves each factor is off by up to 2^-11 of itself. Where products are added up in
        // halves so is each sum on its way, and single errors are large where one of the products
        // is.
        nmse: match MATMUL.variants[shape.variant] {
            Variant {
                cooperative_matrix: true,
                ..
            } => 1e-6,
            Variant {
                shader_f16: true, ..
            } => 2.5e-5,
            _ => 1e-11,
        },
    }
}
