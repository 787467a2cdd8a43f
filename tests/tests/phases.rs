//! Rotary phases on the GPU against f64, up to 2^22.

use godwit_shaders::kernels::rope_append::ROPE_APPEND;
use godwit_tests::model::gpu;
use godwit_tests::{cases, phases};

#[test]
fn phases_are_exact_to_2_22() {
    let gpu = gpu(true);
    for theta in phases::THETAS {
        let all = phases::cases(theta, 22);
        let outcomes: Vec<_> = all
            .iter()
            .map(|case| cases::run(&gpu, &ROPE_APPEND, case).expect("it runs"))
            .collect();
        let worst = phases::worst(theta, &all, &outcomes);
        println!("theta {theta}: largest error {worst:.2e}");
        assert!(worst < 1e-6, "theta {theta}: {worst:e}");
    }
}
