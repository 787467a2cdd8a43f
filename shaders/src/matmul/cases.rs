use super::shape::{
    BLOCK, BLOCK_SPREAD, HALF_TILES, MATRIX, NARROW, NARROW_DOT, ROWS, ROWS_SPREAD, SHARED_DOT, Shape, TILES, VECTOR,
    VECTOR_DOT,
};
use super::{MATMUL, Params, Put, x_rows_at_once};
use crate::format::{Format, GROUP};
use crate::kernel::{Case, Scene, Step, Variant};
use crate::testing::{Random, words};

/// A product: rows and width of the shard, tokens, and the row of `y` that it begins with.
struct Product {
    format: Format,
    rows: u32,
    width: u32,
    tokens: u32,
    first: u32,
    put: Put,
    normed: bool,
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::ALL {
        for (shape, tokens) in [
            (VECTOR, 1),
            (VECTOR_DOT, 1),
            (ROWS, 1),
            (ROWS_SPREAD, 1),
            (BLOCK, 13),
            (BLOCK_SPREAD, 13),
            (TILES, 13),
            (HALF_TILES, 13),
            (MATRIX, 13),
        ] {
            if !MATMUL.variants[shape.variant].takes(Some(format)) {
                continue;
            }
            cases.push(case(
                shape,
                Product { format, rows: 300, width: 768, tokens, first: 0, put: Put::Store, normed: false },
            ));
        }
    }
    for (shape, tokens) in [
        (VECTOR, 1),
        (NARROW, 1),
        (VECTOR_DOT, 1),
        (SHARED_DOT, 1),
        (NARROW_DOT, 1),
        (ROWS, 1),
        (ROWS_SPREAD, 1),
        (BLOCK, 70),
        (BLOCK_SPREAD, 70),
        (TILES, 140),
        (HALF_TILES, 140),
        (MATRIX, 140),
    ] {
        // Rows of a shard in the middle of y, added; gated ones; the shapes of small models.
        for (format, rows, width, first, put) in [
            (Format::Q4_1, 576, 576, 64, Put::Add),
            (Format::Q4_K, 640, 512, 32, Put::Pairs),
            (Format::Q5_K, 320, 512, 32, Put::Gated),
            (Format::Q4_1, 1536, 576, 0, Put::Store),
            (Format::Q4_1, 576, 1536, 32, Put::Add),
            (Format::Q8_0, 4096, 576, 0, Put::Store),
            (Format::Q4_0, 64, 8_320, 0, Put::Store),
        ] {
            cases.push(case(shape, Product { format, rows, width, tokens, first, put, normed: false }));
        }
    }
    for shape in [VECTOR, VECTOR_DOT, ROWS_SPREAD] {
        for (format, rows, width, put) in [(Format::Q4_1, 960, 576, Put::Store), (Format::Q6_K, 640, 512, Put::Pairs)] {
            cases.push(case(shape, Product { format, rows, width, tokens: 1, first: 0, put, normed: true }));
        }
    }
    cases
}

fn case(shape: Shape, product: Product) -> Case {
    let Product { format, rows, width, tokens, first, put, normed } = product;
    let mut random = Random::new(u64::from(rows * 31 + width * 7 + tokens));
    // The first dispatch dimension is too short for all.
    let workgroups = shape.workgroups(rows, tokens, 3);
    let own = if put == Put::Pairs { rows / 2 } else { rows };
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
        put: put as u32,
        across: workgroups[0],
        row_words: format.row_words(width as usize) as u32,
        normed: normed.into(),
        eps: 1e-5,
    };
    let weights = random.matrix(format, rows as usize, width as usize);
    let mut x = random.activations((tokens * width) as usize);
    let y = random.activations((tokens * y_width) as usize);
    // What is not normalised has no norm that may be read.
    let norm = if normed { random.activations(width as usize) } else { vec![f32::NAN; width as usize] };
    // Rows that make whole groups of the tokens', which may be read but not used.
    let x_rows = tokens.next_multiple_of(x_rows_at_once(&MATMUL.variants[shape.variant]));
    x.resize((x_rows * width) as usize, f32::NAN);
    // Rows before the first, which are not to be read.
    x.splice(0..0, random.activations((x_first * width) as usize));
    let overrides = shape.overrides(put, normed, format, rows, width, workgroups[0]);
    let normed = if normed { " normed" } else { "" };
    let splits = shape.overrides.iter().find(|(name, _)| *name == "SPLITS");
    let splits = splits.map_or(String::new(), |(_, splits)| format!(" splits {splits}"));
    Case {
        name: format!("{format} {rows}x{width} tokens {tokens}{splits} {put:?}{normed}"),
        variant: shape.variant,
        overrides,
        scene: Scene {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(5, tokens),
            format: Some(format),
            buffers: vec![weights.clone(), weights, words(&x), words(&norm), words(&y)],
            workgroups,
        },
        // In halves each factor is off by up to 2^-11 of itself. Where products are added up in halves so is each sum on its way,
        // and single errors are large where one of the products is.
        nmse: match MATMUL.variants[shape.variant] {
            Variant { matrices: true, .. } => 1e-6,
            Variant { halves: true, .. } => 2.5e-5,
            _ => 1e-11,
        },
    }
}
