//! The addresses that a kernel really forms: its WGSL with every index into a storage buffer
//! recorded, run on a device.
//!
//! GPUs run kernels unchecked, and a load beyond the end may leave no trace in the result. So the
//! indices themselves are measured, before any check changes them, and held against what
//! [`Kernel::extents`] declares: the audit of plans (`runtime/src/executor/addresses`) relies on
//! that for shapes that are too large to run.
//!
//! Variants for cooperative matrices run on no software driver. What they load from storage does
//! not depend on what matrices hold, so they run with matrices that are vectors of zeros.

mod recorder;

use godwit::Gpu;
use godwit_shaders::{BufferRef, Case, Dialect, Kernel, compose};
use naga::valid::Capabilities;
use naga::{AddressSpace, Expression, Function, Module, TypeInner};

use crate::translate;
use recorder::{RECORD, recording};

/// Bytes from one element of each storage buffer to the next; none of what is no array. Checks that
/// no index is left that is not recorded.
fn strides(kernel: &Kernel, module: &Module) -> Result<Vec<Option<u32>>, String> {
    let mut strides = vec![None; kernel.bindings.len()];
    for (_, global) in module.global_variables.iter() {
        let (AddressSpace::Storage { .. }, Some(binding)) = (global.space, &global.binding) else {
            continue;
        };
        if let (TypeInner::Array { stride, .. }, true) =
            (&module.types[global.ty].inner, binding.binding < RECORD)
        {
            strides[binding.binding as usize - 2] = Some(*stride);
        }
    }
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    for function in module
        .functions
        .iter()
        .map(|(_, function)| function)
        .chain(entries)
    {
        check_recorded(module, function)?;
    }
    Ok(strides)
}

/// Whether this is the name of a function that records an index.
fn is_record_of(function: Option<&str>) -> bool {
    function.is_some_and(|name| name.starts_with("record") && name.ends_with('_'))
}

fn check_recorded(module: &Module, function: &Function) -> Result<(), String> {
    for (_, expression) in function.expressions.iter() {
        let (base, index) = match *expression {
            Expression::Access { base, index } => (base, Some(index)),
            Expression::AccessIndex { base, .. } => (base, None),
            _ => continue,
        };
        let Expression::GlobalVariable(global) = function.expressions[base] else {
            continue;
        };
        let global = &module.global_variables[global];
        let is_storage = matches!(global.space, AddressSpace::Storage { .. });
        let is_record = global
            .binding
            .is_some_and(|binding| binding.binding == RECORD);
        if !is_storage
            || is_record
            || !matches!(module.types[global.ty].inner, TypeInner::Array { .. })
        {
            continue;
        }
        let is_recorded = index.is_some_and(|index| match function.expressions[index] {
            Expression::CallResult(called) => {
                is_record_of(module.functions[called].name.as_deref())
            }
            _ => false,
        });
        if !is_recorded {
            let name = global.name.as_deref().unwrap_or_default();
            return Err(format!("an index of `{name}` is not recorded"));
        }
    }
    Ok(())
}

/// Whether a device can run a variant, with vectors in place of matrices.
pub fn runs_on(kernel: &Kernel, case: &Case, gpu: &Gpu) -> bool {
    let (variant, caps) = (&kernel.variants[case.variant], gpu.caps());
    (!variant.subgroups && !variant.cooperative_matrix || caps.subgroups)
        && (!variant.shader_f16 || caps.shader_f16)
        && (!variant.subgroups8_int64 || caps.subgroups8_int64)
}

/// Runs a case and checks every address that it forms: none is beyond what the kernel declares, or
/// beyond the case's buffers.
///
/// # Errors
/// Says which buffer, and how far; or the device fails.
pub async fn check(gpu: &Gpu, kernel: &'static Kernel, case: &Case) -> Result<(), String> {
    let source = recording(kernel, case)?;
    let (module, _) = translate::parsed(&source, Capabilities::all())?;
    let strides = strides(kernel, &module)?;
    let recorded = run(gpu, kernel, case, source).await?;
    let refs = |words: &Vec<u32>| BufferRef {
        id: 0,
        offset: 0,
        bytes: 4 * words.len() as u64,
    };
    let dispatch = case.dispatch(kernel, case.fixture.buffers.iter().map(refs).collect());
    let declared = (kernel.extents)(&dispatch, case.fixture.step);
    if declared.len() != kernel.bindings.len() {
        return Err(format!(
            "{} extents are declared for {} buffers",
            declared.len(),
            kernel.bindings.len()
        ));
    }
    for (i, binding) in kernel.bindings.iter().enumerate() {
        let words = u64::from(recorded[i]) * u64::from(strides[i].unwrap_or(0)) / 4;
        let has = case.fixture.buffers[i].len() as u64;
        if words > declared[i] || words > has.next_multiple_of(4) {
            return Err(format!(
                "`{}`: word {} is read or written; {} words are declared, and the case has {has}",
                binding.name,
                words - 1,
                declared[i]
            ));
        }
    }
    Ok(())
}

/// For each storage buffer, one more than the largest index.
async fn run(
    gpu: &Gpu,
    kernel: &'static Kernel,
    case: &Case,
    source: String,
) -> Result<Vec<u32>, String> {
    let (device, queue) = (gpu.device(), gpu.queue());
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(kernel.name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let uniform = wgpu::BufferBindingType::Uniform;
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    let kinds = [(0, uniform), (1, uniform)].into_iter().chain(
        (2..)
            .zip(kernel.bindings)
            .map(|(at, of)| (at, storage(of.access == godwit_shaders::Access::Read))),
    );
    let entries: Vec<_> = kinds
        .chain([(RECORD, storage(false))])
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let constants: Vec<_> = case
        .overrides
        .iter()
        .map(|&(name, value)| (name, f64::from(value)))
        .collect();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(kernel.name),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            ..Default::default()
        },
        cache: None,
    });
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer = |bytes: &[u8], usage| {
        let size = (bytes.len() as u64).max(16).next_multiple_of(16);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        });
        if !bytes.is_empty() {
            queue.write_buffer(&buffer, 0, bytes);
        }
        buffer
    };
    let mut buffers = vec![
        (
            0,
            buffer(&case.fixture.params, usage | wgpu::BufferUsages::UNIFORM),
        ),
        (
            1,
            buffer(
                bytemuck::bytes_of(&case.fixture.step),
                usage | wgpu::BufferUsages::UNIFORM,
            ),
        ),
    ];
    for (at, words) in (2..).zip(&case.fixture.buffers) {
        buffers.push((
            at,
            buffer(
                bytemuck::cast_slice(words),
                usage | wgpu::BufferUsages::STORAGE,
            ),
        ));
    }
    let record = buffer(&[0; 32], usage | wgpu::BufferUsages::STORAGE);
    let back = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 32,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    buffers.push((RECORD, record));
    let entries: Vec<_> = buffers
        .iter()
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &layout,
        entries: &entries,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = case.fixture.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
    let (_, record) = &buffers[buffers.len() - 1];
    encoder.copy_buffer_to_buffer(record, 0, &back, 0, 32);
    let commands = encoder.finish();
    if let Some(error) = scope.pop().await {
        return Err(error.to_string());
    }
    queue.submit([commands]);
    let (sender, receiver) = std::sync::mpsc::channel();
    back.slice(..)
        .map_async(wgpu::MapMode::Read, move |outcome| {
            // The receiver waits below.
            let _ = sender.send(outcome);
        });
    device
        .poll(wgpu::PollType::wait_indefinitely())
        .map_err(|e| e.to_string())?;
    receiver
        .recv()
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let view = back
        .slice(..)
        .get_mapped_range()
        .map_err(|e| e.to_string())?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}
