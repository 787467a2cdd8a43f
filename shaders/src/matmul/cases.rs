use super::{Params, TILES, TOKENS};
use crate::format::{Format, GROUP, TILE};
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::ALL {
        for (variant, tokens, splits) in [(0, 1, 1), (0, 1, 8), (1, 1, 1), (2, 8, 1), (2, 13, 1)] {
            cases.push(case(variant, format, 300, 768, tokens, splits, 0, false));
        }
    }
    // Rows of a shard in the middle of y, added; the shapes of a small model; a fixed token count.
    cases.push(case(1, Format::Q4_1, 576, 576, 1, 1, 64, true));
    cases.push(case(0, Format::Q4_1, 1536, 576, 1, 8, 0, false));
    cases.push(case(2, Format::Q4_1, 1536, 576, 32, 1, 0, false));
    cases.push(case(2, Format::Q4_1, 576, 1536, 32, 1, 32, true));
    cases.push(case(1, Format::Q8_0, 4096, 576, 1, 1, 0, false));
    cases
}

fn case(
    variant: usize,
    format: Format,
    rows: u32,
    width: u32,
    tokens: u32,
    splits: u32,
    first: u32,
    add: bool,
) -> Case {
    let mut random = Random::new(u64::from(rows * 31 + width * 7 + tokens + splits));
    let tiles = rows.div_ceil(TILE as u32 * TILES[variant]);
    let y_width = first + rows + 3;
    let row_words = format.row_words(width as usize) as u32;
    let params = Params {
        groups: width / GROUP as u32,
        rows,
        first,
        y_width,
        x_first: 0,
        tokens: 0,
        add: add.into(),
        tiles: tiles.min(3),
        row_words,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    let weights = random.matrix(format, rows as usize, width as usize);
    let x = random.activations((tokens * width) as usize);
    let y = random.activations((tokens * y_width) as usize);
    Case {
        name: format!("{format} {rows}x{width} tokens {tokens} splits {splits}{}", if add { " add" } else { "" }),
        variant,
        overrides: vec![("SPLITS", splits)],
        scene: Scene {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(5, tokens),
            format: Some(format),
            buffers: vec![weights, words(&x), words(&y)],
            workgroups: [tiles.min(3), tiles.div_ceil(3), if variant == 2 { tokens.div_ceil(TOKENS) } else { 1 }],
        },
        nmse: 1e-11,
    }
}
