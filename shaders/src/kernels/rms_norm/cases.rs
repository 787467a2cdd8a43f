use super::{LAST_ROW, LISTED_ROWS, Params, TOKENS_PER_WORKGROUP};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let base = Input {
        width: 576,
        tokens: 5,
        of: Of::All,
    };
    let inputs = [
        Input { tokens: 1, ..base },
        base,
        Input {
            of: Of::Last,
            ..base
        },
        Input {
            of: Of::Listed(&[4, 0, 0, 3]),
            ..base
        },
        // Some of them are no tokens of the step.
        Input {
            of: Of::Listed(&[5, 2, u32::MAX, 16, 1, 9, 8, 7, 6, 5, 4, 3]),
            tokens: 5,
            width: 100,
        },
        Input {
            width: 4096,
            tokens: 3,
            ..base
        },
        Input {
            width: 100,
            tokens: 2,
            ..base
        },
        Input {
            width: 64,
            tokens: 17,
            ..base
        },
    ];
    let variants = 0..TOKENS_PER_WORKGROUP.len();
    let of = |input: Input| variants.clone().map(move |variant| case(variant, input));
    inputs.into_iter().flat_map(of).collect()
}

#[derive(Clone, Copy)]
struct Input {
    width: u32,
    tokens: u32,
    of: Of,
}

/// The rows of `x`.
#[derive(Clone, Copy)]
enum Of {
    All,
    Last,
    Listed(&'static [u32]),
}

fn case(variant: usize, input: Input) -> Case {
    let Input { width, tokens, of } = input;
    let (rows, outputs, name) = match of {
        Of::All => (0, &[][..], "".into()),
        Of::Last => (LAST_ROW, &[][..], " last".into()),
        Of::Listed(list) => (LISTED_ROWS, list, format!(" listed {}", list.len())),
    };
    let out_rows = match of {
        Of::All => tokens,
        Of::Last => 1,
        Of::Listed(list) => list.len() as u32,
    };
    let mut random = Random::new(u64::from(width));
    let params = Params {
        width,
        eps: 1e-5,
        rows,
        reserved: 0,
    };
    let len = (width * tokens) as usize;
    Case {
        name: format!("{width} tokens {tokens}{name}"),
        variant,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step {
                outputs: outputs.len() as u32,
                ..Step::new(9, tokens)
            },
            format: None,
            buffers: vec![
                words(&random.activations(len)),
                words(&random.activations(width as usize)),
                // The token behind the list must have no effect.
                [outputs, &[1]].concat(),
                words(&random.activations(len.max(outputs.len() * width as usize))),
            ],
            // One workgroup more than the rows need: it must do nothing.
            workgroups: [
                match of {
                    Of::Last => 1,
                    _ => out_rows.div_ceil(TOKENS_PER_WORKGROUP[variant]) + 1,
                },
                1,
                1,
            ],
        },
        nmse: 1e-12,
    }
}
