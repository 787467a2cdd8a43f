use super::Params;
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [(576, 1, false), (576, 5, false), (576, 5, true), (4096, 3, false), (100, 2, false)]
        .map(|(width, count, last)| {
            let mut random = Random::new(width);
            let params = Params { width: width as u32, eps: 1e-5, last: u32::from(last), reserved: 0 };
            let len = (width as usize) * count as usize;
            Case {
                name: format!("{width} tokens {count}{}", if last { " last" } else { "" }),
                variant: 0,
                overrides: Vec::new(),
                scene: Scene {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(9, count),
                    format: None,
                    buffers: vec![
                        words(&random.activations(len)),
                        words(&random.activations(width as usize)),
                        words(&random.activations(len)),
                    ],
                    // One workgroup more than there are tokens: it must do nothing.
                    workgroups: [if last { 1 } else { count + 1 }, 1, 1],
                },
                nmse: 1e-12,
            }
        })
        .to_vec()
}
