//! Every kernel variant and format: valid for naga with only the capabilities it asks for,
//! translated to SPIR-V (which `spirv-val` then checks), MSL and HLSL; its layout equal to the Rust
//! side's; inside the WebGPU defaults; no component of a vector written by a run-time index.

use std::io::Write as _;
use std::process::{Command, Stdio};

use godwit_shaders::capabilities::COOPERATIVE_MATRIX_WORKGROUP_BYTES;
use godwit_shaders::{Access, Kernel, Variant, WeightFormat};
use godwit_tests::translate;
use libtest_mimic::{Arguments, Failed, Trial};
use naga::back::{hlsl, msl};
use naga::valid::{Capabilities, ModuleInfo};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};

fn main() {
    let arguments = Arguments::from_args();
    let trial = |(kernel, variant, format)| {
        let name = translate::label(kernel, variant, format);
        Trial::test(name, move || {
            check(kernel, variant, format).map_err(Failed::from)
        })
    };
    let mut trials: Vec<Trial> = translate::variants().map(trial).collect();
    trials.push(Trial::test("component writes", || {
        component_writes_are_found().map_err(Failed::from)
    }));
    let matrices = || cooperative_matrices_stay_in_workgroup_memory().map_err(Failed::from);
    trials.push(Trial::test(
        "cooperative_matrices_stay_in_workgroup_memory",
        matrices,
    ));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Cooperative matrices are loaded from and stored to workgroup memory alone, by workgroups of
/// whole subgroups of 32: wgpu checks neither.
fn cooperative_matrices_stay_in_workgroup_memory() -> Result<(), String> {
    let mut found = 0;
    for (kernel, variant, format) in
        translate::variants().filter(|(_, variant, _)| variant.cooperative_matrix)
    {
        let label = translate::label(kernel, variant, format);
        let (module, _) = translate::module(kernel, variant, format)?;
        let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
        if !invocations.is_multiple_of(32) {
            return Err(format!(
                "{label}: a workgroup of {invocations} is no whole number of subgroups"
            ));
        }
        let entries = module.entry_points.iter().map(|entry| &entry.function);
        for function in module
            .functions
            .iter()
            .map(|(_, function)| function)
            .chain(entries)
        {
            for pointer in translate::cooperative_pointers(function) {
                found += 1;
                if translate::space_of(&module, function, pointer) != Some(AddressSpace::WorkGroup)
                {
                    return Err(format!("{label}: a matrix is not in workgroup memory"));
                }
            }
        }
    }
    if found > 0 {
        Ok(())
    } else {
        Err("no variant loads matrices".into())
    }
}

/// Each forbidden operation is found wherever it may hide.
fn component_writes_are_found() -> Result<(), String> {
    let outcome = |statements: &str, through: &str| {
        let source = format!(
            "var<workgroup> shared_rows: array<vec4<f32>, 8>;
            @group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
            const THIRD = 2u;
            fn through(v: ptr<function, vec4<f32>>, i: u32) {{ {through} }}
            @compute @workgroup_size(8)
            fn main(@builtin(local_invocation_index) lane: u32) {{
                var v = vec4<f32>();
                var rows: array<vec4<f32>, 4>;
                {statements}
                out[lane] = v + rows[lane % 4u];
            }}"
        );
        translate::check_component_writes(&translate::parsed(&source, Capabilities::empty())?)
    };
    let cases = [
        ("v[lane % 4u] = 1.0;", "v"),
        ("for (var r = 0u; r < 4u; r++) { v[r] += 2.0; }", "v"),
        ("if lane > 2u { rows[lane % 4u][lane % 3u] = 1.0; }", "rows"),
        (
            "switch lane { case 1u: { rows[1][lane % 3u] = 1.0; } default: {} }",
            "rows",
        ),
        ("shared_rows[lane][lane % 4u] = 1.0;", "shared_rows"),
        ("out[lane][lane % 4u] = 1.0;", "out"),
    ];
    let is_found = |outcome: &Result<(), String>, variable: &str| {
        outcome
            .as_ref()
            .is_err_and(|error| error.contains(&format!("a component of `{variable}`")))
    };
    for (statements, variable) in cases {
        let found = outcome(statements, "");
        if !is_found(&found, variable) {
            return Err(format!("{statements}: {found:?}"));
        }
    }
    let found = outcome("through(&v, lane);", "(*v)[i] = 1.0;");
    if !is_found(&found, "v") {
        return Err(format!("through a pointer: {found:?}"));
    }
    outcome(
        "through(&v, lane); v[THIRD] = 1.0; v.y = v[lane % 4u]; rows[lane % 4u] = v; \
         shared_rows[lane].x = v[lane % 2u];",
        "(*v)[THIRD] = (*v)[i];",
    )
}

fn check(
    kernel: &'static Kernel,
    variant: &'static Variant,
    format: Option<WeightFormat>,
) -> Result<(), String> {
    let checked = translate::module(kernel, variant, format)?;
    layout(kernel, &checked.0)?;
    for constants in translate::override_sets(kernel, variant, |_| true) {
        let filled = translate::with_constants(kernel, &checked, &constants)?;
        limits(
            &filled.0,
            if variant.cooperative_matrix {
                COOPERATIVE_MATRIX_WORKGROUP_BYTES
            } else {
                16 << 10
            },
        )?;
        translate::check_component_writes(&filled)?;
        let words = translate::spirv(&filled, variant)?;
        if variant.cooperative_matrix {
            // The spirv-val that distributions ship is older than cooperative matrices (capability
            // 6022), and naga writes f16 matrices for Vulkan only; elsewhere the other
            // variants run.
            continue;
        }
        validate_spirv(&words)?;
        write_others(kernel, &filled)?;
    }
    Ok(())
}

/// Parameters and bindings are where the Rust side thinks they are.
fn layout(kernel: &Kernel, module: &Module) -> Result<(), String> {
    let mut bound: Vec<_> = Vec::new();
    for (_, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else {
            continue;
        };
        bound.push(binding.binding);
        match (binding.binding, global.space) {
            (0, AddressSpace::Uniform) => {
                let TypeInner::Struct { members, span } = &module.types[global.ty].inner else {
                    return Err("the parameters are no struct".into());
                };
                let found: Vec<_> = members
                    .iter()
                    .map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize))
                    .collect();
                if found != kernel.params || *span as usize != kernel.params_bytes {
                    return Err(format!(
                        "parameters lie at {found:?} in {span} bytes, not {:?}",
                        kernel.params
                    ));
                }
            }
            (1, AddressSpace::Uniform) => {}
            (index, AddressSpace::Storage { access }) => {
                let binding = kernel
                    .bindings
                    .get(index as usize - 2)
                    .ok_or(format!("binding {index} is unknown"))?;
                let writes = access.contains(StorageAccess::STORE);
                if global.name.as_deref() != Some(binding.name)
                    || writes != (binding.access == Access::Write)
                {
                    return Err(format!(
                        "binding {index} is {:?}, not `{}`",
                        global.name, binding.name
                    ));
                }
            }
            other => return Err(format!("binding {other:?} should not be")),
        }
    }
    bound.sort_unstable();
    if bound.iter().filter(|&&b| b > 1).count() != kernel.bindings.len() {
        return Err(format!(
            "bindings {bound:?} are not the {} of the kernel",
            kernel.bindings.len()
        ));
    }
    Ok(())
}

/// The limits of every WebGPU device, except for workgroup memory.
fn limits(module: &Module, workgroup_bytes: u32) -> Result<(), String> {
    let storage = module
        .global_variables
        .iter()
        .filter(|(_, g)| matches!(g.space, AddressSpace::Storage { .. }))
        .count();
    if storage > 8 {
        return Err(format!("{storage} storage buffers; 8 are allowed"));
    }
    let size = |ty| module.types[ty].inner.size(module.to_ctx());
    let workgroup = module
        .global_variables
        .iter()
        .filter(|(_, g)| g.space == AddressSpace::WorkGroup);
    let bytes: u32 = workgroup
        .map(|(_, g)| size(g.ty).next_multiple_of(16))
        .sum();
    if bytes > workgroup_bytes {
        return Err(format!(
            "{bytes} bytes of workgroup memory; {workgroup_bytes} are allowed"
        ));
    }
    let [x, y, z] = module.entry_points[0].workgroup_size;
    if x * y * z > 256 || z > 64 {
        return Err(format!(
            "a workgroup of {x}x{y}x{z}; 256 invocations are allowed"
        ));
    }
    Ok(())
}

/// As MSL and HLSL.
fn write_others(
    kernel: &'static Kernel,
    (module, info): &(Module, ModuleInfo),
) -> Result<(), String> {
    // As wgpu does it: every binding gets a slot of its own.
    let mut resources = msl::EntryPointResources {
        sizes_buffer: Some(20),
        ..Default::default()
    };
    let mut bindings = hlsl::BindingMap::default();
    for (_, global) in module.global_variables.iter() {
        let Some(binding) = global.binding else {
            continue;
        };
        let slot = binding.binding;
        let mutable = matches!(
            global.space,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE)
        );
        resources.resources.insert(
            binding,
            msl::BindTarget {
                buffer: Some(slot as u8),
                mutable,
                ..Default::default()
            },
        );
        bindings.insert(
            binding,
            hlsl::BindTarget {
                register: slot,
                ..Default::default()
            },
        );
    }
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(kernel.name.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        ..Default::default()
    };
    msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .map_err(|e| e.to_string())?;

    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_4,
        binding_map: bindings,
        fake_missing_bindings: false,
        ..Default::default()
    };
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|e| e.to_string())?;
    Ok(())
}

fn validate_spirv(words: &[u32]) -> Result<(), String> {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| {
            format!("spirv-val does not start ({e}); tests/fetch.sh --tests installs it")
        })?;
    let bytes: &[u8] = bytemuck::cast_slice(words);
    child
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(bytes)
        .map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => {
            Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        }
    }
}
