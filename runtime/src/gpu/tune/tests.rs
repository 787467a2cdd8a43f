use godwit_shaders::capabilities::WEBGPU;

use super::*;

#[test]
fn the_built_in_choice_stays_unless_another_is_clearly_faster() {
    assert_eq!(fastest(&[(1, 10.0), (2, 10.4), (3, 9.0)], 1), 1);
    assert_eq!(fastest(&[(1, 10.0), (2, 10.4), (3, 12.0)], 1), 3);
    assert_eq!(fastest(&[(1, 10.0)], 7), 1);
    assert_eq!(fastest(&[], 7), 7);
}

#[test]
fn what_does_not_compile_is_left_out() {
    let cause = || GpuError::Kernel {
        kernel: "matmul".into(),
        cause: "no".into(),
    };
    assert_eq!(or_nothing(Err(cause())), Ok(0.0));
    assert_eq!(or_nothing(Ok(3.0)), Ok(3.0));
    let lost = GpuError::Lost {
        cause: "gone".into(),
    };
    assert_eq!(or_nothing(Err(lost.clone())), Err(lost));
    assert_eq!(fastest(&[(1, 0.0), (2, 10.0)], 1), 2);
}

#[test]
fn what_is_built_in_is_tried() {
    for features in 0..16 {
        let has = |bit: u32| features >> bit & 1 == 1;
        let caps = Capabilities {
            packed_dot: has(0),
            shader_f16: has(1),
            cooperative_matrix: has(1) && has(2),
            ..WEBGPU
        };
        let cpu = Capabilities {
            cpu: true,
            subgroups8_int64: has(3),
            ..WEBGPU
        };
        for class in [MatmulClass::Gemv, MatmulClass::FewRows, MatmulClass::Gemm] {
            assert!(
                METHODS.contains(&MatmulMethod::built_in(&caps, class)),
                "{caps:?}"
            );
            assert!(
                METHODS_CPU.contains(&MatmulMethod::built_in(&cpu, class)),
                "{cpu:?}"
            );
        }
        for caps in [caps, cpu] {
            let built_in = caps.tuning.few_rows_up_to;
            assert!(candidates(&caps).few_rows_up_to.contains(&built_in));
        }
    }
}
