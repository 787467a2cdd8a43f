use super::{Params, TOKENS};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [
        (576, 1, false),
        (576, 5, false),
        (576, 5, true),
        (4096, 3, false),
        (100, 2, false),
        (64, 17, false),
    ]
    .into_iter()
    .flat_map(|(width, count, last)| {
        (0..TOKENS.len()).map(move |variant| case(variant, width, count, last))
    })
    .collect()
}

fn case(variant: usize, width: u32, count: u32, last: bool) -> Case {
    let mut random = Random::new(u64::from(width));
    let params = Params {
        width,
        eps: 1e-5,
        last: u32::from(last),
        reserved: 0,
    };
    let len = (width * count) as usize;
    Case {
        name: format!("{width} tokens {count}{}", if last { " last" } else { "" }),
        variant,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(9, count),
            format: None,
            buffers: vec![
                words(&random.activations(len)),
                words(&random.activations(width as usize)),
                words(&random.activations(len)),
            ],
            // One workgroup more than there are tokens for: it must do nothing.
            workgroups: [
                if last {
                    1
                } else {
                    count.div_ceil(TOKENS[variant]) + 1
                },
                1,
                1,
            ],
        },
        nmse: 1e-12,
    }
}
