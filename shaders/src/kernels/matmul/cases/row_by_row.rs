//! Products whose rows must have the same bits in company as alone.

use super::super::{Epilogue, Params};
use super::{BASE, Product, case};
use crate::capabilities::MatmulMethod;
use crate::kernel::Case;
use crate::weights::WeightFormat;

/// A product of several rows of `x` by a method for few rows, and each of these rows alone by the
/// method for one row of the same device.
#[derive(Debug)]
pub struct RowByRow {
    /// The product of all rows.
    pub together: Case,
    /// The product of each row.
    pub alone: Vec<Case>,
}

impl RowByRow {
    /// The words of the outputs of a row, by `outputs`: those of `together`.
    pub fn row<'a>(&self, outputs: &'a [u32], row: usize) -> &'a [u32] {
        let p: Params = self.together.fixture.params();
        let width = p.out_width as usize;
        &outputs[row * width..][..width]
    }
}

/// Products whose rows must have the same bits in company as alone.
pub fn row_by_row() -> Vec<RowByRow> {
    let mut all = Vec::new();
    for (few, one) in [
        (MatmulMethod::FewRows, MatmulMethod::Gemv),
        (MatmulMethod::CpuFewRows, MatmulMethod::CpuGemv),
        (
            MatmulMethod::CpuFewRowsSubgroup,
            MatmulMethod::CpuGemvSubgroup,
        ),
    ] {
        for (format, tokens, epilogue) in [
            (WeightFormat::Q4_1, 2, Epilogue::Store),
            (WeightFormat::Q4_K, 5, Epilogue::Accumulate),
            (WeightFormat::Q6_K, 8, Epilogue::SwiGlu),
            (WeightFormat::F16, 11, Epilogue::Store),
        ] {
            // Drivers on CPUs compile few_rows for seconds.
            if few == MatmulMethod::FewRows && tokens > 5 {
                continue;
            }
            let product = Product {
                format,
                rows: 320,
                tokens,
                epilogue,
                is_normed: tokens > 2 && few.normalises_x(),
                ..BASE
            };
            let together = case(few.shape(product.rows, tokens), product);
            let alone = (0..tokens).map(|row| alone(&together, one, product, row));
            all.push(RowByRow {
                alone: alone.collect(),
                together,
            });
        }
    }
    all
}

/// Row `row` of `x` of a case, by a method for one row.
fn alone(together: &Case, one: MatmulMethod, product: Product, row: u32) -> Case {
    let first = Product {
        tokens: 1,
        ..product
    };
    let mut alone = case(one.shape(product.rows, 1), first);
    let p: Params = together.fixture.params();
    let buffers = &together.fixture.buffers;
    let row_of = |buffer: usize, width: u32| {
        buffers[buffer][(row * width) as usize..][..width as usize].to_vec()
    };
    alone.fixture.buffers = vec![
        buffers[0].clone(),
        buffers[1].clone(),
        row_of(2, product.width),
        buffers[3].clone(),
        row_of(4, p.out_width),
    ];
    alone
}
