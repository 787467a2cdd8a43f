//! The models and the devices that are checked.

use super::*;

pub(super) fn config(shape: &str) -> Config {
    shape
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model")
        .config()
        .clone()
}

/// The kinds of devices: whatever makes another variant run.
pub(super) fn devices() -> Vec<Capabilities> {
    let subgroups = Capabilities {
        subgroups: true,
        subgroups32: true,
        ..WEBGPU
    };
    let cpu = Capabilities {
        cpu: true,
        ..WEBGPU
    };
    vec![
        WEBGPU,
        LARGE,
        Capabilities {
            max_binding: 1 << 20,
            ..WEBGPU
        },
        Capabilities {
            max_workgroups: 65_535,
            packed_dot: true,
            ..subgroups
        },
        Capabilities {
            shader_f16: true,
            ..WEBGPU
        },
        Capabilities {
            shader_f16: true,
            cooperative_matrix: true,
            ..subgroups
        },
        cpu,
        Capabilities {
            subgroups8_int64: true,
            subgroups: true,
            ..cpu
        },
    ]
}

/// One of the methods of a class that suit a device: the built-in one in turn 0, else the one of
/// number `at`.
pub(super) fn suiting(
    caps: &Capabilities,
    class: MatmulClass,
    turn: usize,
    at: usize,
) -> Option<MatmulMethod> {
    let methods: Vec<MatmulMethod> = MatmulMethod::all_of(class)
        .filter(|method| method.suits(caps, class))
        .collect();
    (turn > 0).then(|| methods[at % methods.len()])
}
