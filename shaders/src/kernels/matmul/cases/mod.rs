mod row_by_row;

use super::method::{
    GEMV, GEMV_DP4A, GEMV_DP4A_FEW_ROWS, GEMV_DP4A_SOME_ROWS, GEMV_FEW_ROWS, MANY_ROWS, Shape, Use,
};
use super::{Epilogue, Params};
use crate::capabilities::{MatmulClass, MatmulMethod};
use crate::kernel::{Case, DispatchFixture, Step, Variant};
use crate::testing::{Random, words};
use crate::weights::{GROUP, WeightFormat};

pub use row_by_row::{RowByRow, row_by_row};

/// A matmul with one shard.
#[derive(Clone, Copy)]
struct Product {
    format: WeightFormat,
    /// Rows of the shard.
    rows: u32,
    width: u32,
    tokens: u32,
    /// Row of `out` that the shard begins with.
    first_row: u32,
    epilogue: Epilogue,
    is_normed: bool,
}

/// The product that the others differ from in some fields.
const BASE: Product = Product {
    format: WeightFormat::Q4_1,
    rows: 300,
    width: 768,
    tokens: 1,
    first_row: 0,
    epilogue: Epilogue::Store,
    is_normed: false,
};

/// More tokens than any workgroup takes.
const MOST_TOKENS: u32 = 512;

/// Every shape that methods choose for many tokens, and for one.
fn shapes() -> Vec<Shape> {
    let gemv = [
        GEMV,
        GEMV_FEW_ROWS,
        GEMV_DP4A,
        GEMV_DP4A_SOME_ROWS,
        GEMV_DP4A_FEW_ROWS,
    ];
    let others = [
        MatmulMethod::CpuGemv,
        MatmulMethod::CpuGemvSubgroup,
        MatmulMethod::CpuFewRows,
        MatmulMethod::CpuFewRowsSubgroup,
        MatmulMethod::CpuGemm,
        MatmulMethod::CpuGemmSubgroup,
        MatmulMethod::Gemm,
        MatmulMethod::GemmF16,
        MatmulMethod::GemmCoop,
    ];
    // The shapes for the most tokens. `few_tokens` has the others.
    let few_rows = [MANY_ROWS, 0].map(|rows| MatmulMethod::FewRows.shape(rows, MOST_TOKENS));
    gemv.into_iter()
        .chain(others.map(|method| method.shape(0, MOST_TOKENS)))
        .chain(few_rows)
        .collect()
}

/// Products of few tokens: of every method for few rows, and of GEMMs in small tiles.
fn few_tokens() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in MatmulMethod::all_of(MatmulClass::FewRows) {
        // Each format with other numbers of tokens: drivers on CPUs compile few_rows for seconds.
        for (tokens, format, has_many_rows) in [
            (1, WeightFormat::F16, false),
            (2, WeightFormat::Q4_1, false),
            (3, WeightFormat::Q5_K, true),
            (5, WeightFormat::F16, false),
            (8, WeightFormat::Q5_K, true),
            (13, WeightFormat::Q4_1, false),
        ] {
            let rows = if has_many_rows { MANY_ROWS } else { 0 };
            let product = Product {
                format,
                tokens,
                first_row: 64,
                is_normed: has_many_rows && method.normalises_x(),
                ..BASE
            };
            cases.push(case(method.shape(rows, tokens), product));
        }
    }
    for method in [MatmulMethod::Gemm, MatmulMethod::GemmF16] {
        for tokens in [9, 16, 27, 32, 50] {
            for (format, epilogue) in [
                (WeightFormat::Q4_1, Epilogue::Accumulate),
                (WeightFormat::Q5_K, Epilogue::SwiGlu),
            ] {
                let product = Product {
                    format,
                    rows: 640,
                    tokens,
                    first_row: 64,
                    epilogue,
                    ..BASE
                };
                cases.push(case(method.shape(0, tokens), product));
            }
        }
        // Smaller tiles than the tokens need: several of them.
        let product = Product { tokens: 41, ..BASE };
        cases.push(case(method.shape(0, 16), product));
    }
    cases
}

/// Tokens that need more than one workgroup and leave the last one partly empty.
fn several_workgroups(method: MatmulMethod) -> u32 {
    match method {
        method if method.class() == MatmulClass::Gemv => 1,
        method if method.class() == MatmulClass::FewRows => 13,
        MatmulMethod::CpuGemm | MatmulMethod::CpuGemmSubgroup => 70,
        _ => 140,
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Every format, in one shape of each method.
    for format in WeightFormat::ALL {
        for shape in shapes() {
            let method = shape.method;
            let is_first_shape = match method {
                MatmulMethod::Gemv => shape.rows_per_tile == GEMV.rows_per_tile,
                MatmulMethod::GemvDp4a => shape.tiles == GEMV_DP4A.tiles,
                MatmulMethod::FewRows => shape.rows_per_tile == GEMV_FEW_ROWS.rows_per_tile,
                _ => true,
            };
            // The text of few_rows is that of gemv for each row, and every format is tested there.
            let is_tested = method != MatmulMethod::FewRows
                || matches!(format, WeightFormat::Q4_K | WeightFormat::Q8_0);
            if is_first_shape && is_tested && method.variant().takes(Some(format)) {
                let tokens = match method.class() {
                    MatmulClass::Gemv => 1,
                    MatmulClass::FewRows => 3,
                    MatmulClass::Gemm => 13,
                };
                cases.push(case(
                    shape,
                    Product {
                        format,
                        tokens,
                        ..BASE
                    },
                ));
            }
        }
    }
    // Every shape: shards in the middle of the output, every epilogue, the sizes of small models.
    for shape in shapes() {
        let base = Product {
            tokens: several_workgroups(shape.method),
            ..BASE
        };
        for product in [
            Product {
                rows: 576,
                width: 576,
                first_row: 64,
                epilogue: Epilogue::Accumulate,
                ..base
            },
            Product {
                format: WeightFormat::Q4_K,
                rows: 640,
                width: 512,
                first_row: 32,
                epilogue: Epilogue::SwiGlu,
                ..base
            },
            Product {
                format: WeightFormat::Q5_K,
                rows: 320,
                width: 512,
                first_row: 32,
                epilogue: Epilogue::SwiGluInPlace,
                ..base
            },
            Product {
                rows: 1536,
                width: 576,
                ..base
            },
            Product {
                rows: 576,
                width: 1536,
                first_row: 32,
                epilogue: Epilogue::Accumulate,
                ..base
            },
            Product {
                format: WeightFormat::Q8_0,
                rows: 4096,
                width: 576,
                ..base
            },
            Product {
                format: WeightFormat::Q4_0,
                rows: 64,
                width: 8320,
                ..base
            },
        ] {
            let is_tested =
                shape.method != MatmulMethod::FewRows || product.epilogue != Epilogue::Store;
            if is_tested {
                cases.push(case(shape, product));
            }
        }
    }
    for shape in [
        GEMV,
        GEMV_DP4A,
        MatmulMethod::CpuGemvSubgroup.shape(0, 1),
        MatmulMethod::FewRows.shape(0, 2),
        MatmulMethod::CpuFewRowsSubgroup.shape(0, 2),
    ] {
        let base = Product {
            tokens: match shape.method.class() {
                MatmulClass::Gemv => 1,
                _ => 2,
            },
            ..BASE
        };
        for product in [
            Product {
                rows: 960,
                width: 576,
                is_normed: true,
                ..base
            },
            Product {
                format: WeightFormat::Q6_K,
                rows: 640,
                width: 512,
                epilogue: Epilogue::SwiGlu,
                is_normed: true,
                ..base
            },
        ] {
            cases.push(case(shape, product));
        }
    }
    cases.extend(few_tokens());
    cases
}

fn case(shape: Shape, product: Product) -> Case {
    let Product {
        format,
        rows,
        width,
        tokens,
        first_row,
        epilogue,
        is_normed,
    } = product;
    let mut random = Random::new(u64::from(rows * 31 + width * 7 + tokens));
    // Three workgroups in the first dimension are too few, so that the second is used.
    let workgroups = shape.workgroups(rows, tokens, 3);
    let out_width = first_row + rows / epilogue.rows_per_output() + 3;
    // A GEMV multiplies the first row of x.
    let x_first = match shape.method.class() {
        MatmulClass::Gemv => 0,
        _ => first_row / 32,
    };
    let params = Params {
        groups_per_row: width / GROUP as u32,
        rows,
        first_row,
        out_width,
        x_first,
        tokens: 0,
        epilogue: epilogue as u32,
        workgroups_x: workgroups[0],
        row_words: format.row_words(width as usize) as u32,
        is_normed: is_normed.into(),
        eps: 1e-5,
    };
    let weights = random.matrix(format, rows as usize, width as usize);
    let mut x = random.activations((tokens * width) as usize);
    let out = random.activations((tokens * out_width) as usize);
    // Without a norm, its buffer must not be used.
    let norm = match is_normed {
        true => random.activations(width as usize),
        false => vec![f32::NAN; width as usize],
    };
    // Rows that complete the last group of rows. They may be read but not used.
    let x_rows = tokens.next_multiple_of(shape.method.x_rows_at_once());
    x.resize((x_rows * width) as usize, f32::NAN);
    // Rows before the first, which must not be used.
    x.splice(0..0, random.activations((x_first * width) as usize));
    let workgroups_x = workgroups[0];
    let overrides = shape.overrides(Use {
        epilogue,
        is_normed,
        format,
        rows,
        width,
        workgroups_x,
    });
    let normed = if is_normed { " normed" } else { "" };
    let splits = shape
        .row_group
        .map(|group| format!(" splits {}", group.k_splits));
    let splits = splits.unwrap_or_default();
    let of = match shape.method.class() {
        MatmulClass::Gemv => String::new(),
        _ => format!(" of {}", shape.tokens),
    };
    Case {
        name: format!("{format} {rows}x{width} tokens {tokens}{of}{splits} {epilogue:?}{normed}"),
        variant: shape.method as usize,
        overrides,
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(5, tokens),
            format: Some(format),
            buffers: vec![
                weights.clone(),
                weights,
                words(&x),
                words(&norm),
                words(&out),
            ],
            workgroups,
        },
        // An f16 factor is off by up to 2^-11 of itself. Where sums are f16 too, so is each partial
        // sum, and a single error is large where one of the products is.
        nmse: match shape.method.variant() {
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
