//! Compiled kernels, each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use godwit_shaders::{Access, Dialect, Dispatch, Format, Kernel, compose};

use super::{Gpu, GpuError};

type Key = (&'static str, &'static str, Option<Format>, Vec<(&'static str, u32)>);

/// A compiled kernel and the layout of its bindings.
pub(super) struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

#[derive(Default)]
pub(super) struct Pipelines {
    compiled: Mutex<HashMap<Key, Arc<Compiled>>>,
}

/// The dialect of whoever compiles the WGSL on this target.
const DIALECT: Dialect = if cfg!(target_arch = "wasm32") { Dialect::Browser } else { Dialect::Naga };

impl Gpu {
    /// The compiled kernel of a dispatch.
    pub(super) async fn compiled(&self, dispatch: &Dispatch) -> Result<Arc<Compiled>, GpuError> {
        let Dispatch { kernel, variant, format, overrides, .. } = dispatch;
        let key = (kernel.name, variant.name, *format, overrides.clone());
        let cache = &self.inner.pipelines.compiled;
        if let Some(known) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(self.compile(dispatch).await?);
        cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    async fn compile(&self, dispatch: &Dispatch) -> Result<Compiled, GpuError> {
        let Dispatch { kernel, variant, format, overrides, .. } = dispatch;
        let label = dispatch.label();
        let fault = |fault: String| GpuError::Kernel { kernel: label.clone(), fault };
        let source = compose(kernel, variant, *format, DIALECT).map_err(|e| fault(e.to_string()))?;
        let device = &self.inner.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &layout_entries(kernel),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<_> = overrides.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(kernel.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        match scope.pop().await {
            Some(error) => Err(fault(error.to_string())),
            None => Ok(Compiled { pipeline, layout }),
        }
    }
}

fn layout_entries(kernel: &Kernel) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |binding: u32, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let uniforms = (0..2).map(|binding| entry(binding, wgpu::BufferBindingType::Uniform));
    let storage = (2..)
        .zip(kernel.bindings)
        .map(|(binding, of)| entry(binding, wgpu::BufferBindingType::Storage { read_only: of.access == Access::Read }));
    uniforms.chain(storage).collect()
}
