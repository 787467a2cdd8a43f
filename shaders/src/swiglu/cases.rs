use super::Params;
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [(1536, 1), (1536, 7), (100, 3)]
        .map(|(width, count)| {
            let mut random = Random::new(width.into());
            let params = Params { width: width / 4, reserved0: 0, reserved1: 0, reserved2: 0 };
            let len = (width * count) as usize;
            let mut gate = random.activations(len);
            (gate[0], gate[1], gate[2]) = (-200.0, 200.0, 0.0);
            Case {
                name: format!("{width} tokens {count}"),
                variant: 0,
                overrides: Vec::new(),
                scene: Scene {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(2, count),
                    format: None,
                    buffers: vec![words(&random.activations(len)), words(&gate)],
                    workgroups: [params.width.div_ceil(64), count + 1, 1],
                },
                nmse: 1e-12,
            }
        })
        .to_vec()
}
