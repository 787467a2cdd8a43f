use super::{Params, TOKENS_PER_WORKGROUP};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let base = Input {
        width: 576,
        tokens: 5,
        is_last_only: false,
    };
    let inputs = [
        Input { tokens: 1, ..base },
        base,
        Input {
            is_last_only: true,
            ..base
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
    is_last_only: bool,
}

fn case(variant: usize, input: Input) -> Case {
    let Input {
        width,
        tokens,
        is_last_only,
    } = input;
    let mut random = Random::new(u64::from(width));
    let params = Params {
        width,
        eps: 1e-5,
        is_last_only: is_last_only.into(),
        reserved: 0,
    };
    let len = (width * tokens) as usize;
    Case {
        name: format!(
            "{width} tokens {tokens}{}",
            if is_last_only { " last" } else { "" }
        ),
        variant,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(9, tokens),
            format: None,
            buffers: vec![
                words(&random.activations(len)),
                words(&random.activations(width as usize)),
                words(&random.activations(len)),
            ],
            // One workgroup more than the tokens need: it must do nothing.
            workgroups: [
                if is_last_only {
                    1
                } else {
                    tokens.div_ceil(TOKENS_PER_WORKGROUP[variant]) + 1
                },
                1,
                1,
            ],
        },
        nmse: 1e-12,
    }
}
