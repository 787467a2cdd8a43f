//! Compiled kernels, each once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use godwit_shaders::{Access, Dialect, Dispatch, Kernel, Plan, WeightFormat, compose};

use super::{Gpu, GpuError};
use crate::progress::Progress;

type Key = (
    &'static str,
    &'static str,
    Option<WeightFormat>,
    Vec<(&'static str, u32)>,
);

/// A compiled kernel and the layout of its bindings.
pub(super) struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Hears how many of the kernels that a plan lacks are compiled; from several threads.
type OnCompile = Arc<dyn Fn(Progress) + Send + Sync>;

#[derive(Default)]
pub(super) struct Pipelines {
    compiled: Mutex<HashMap<Key, Arc<Compiled>>>,
    watch: Mutex<Option<OnCompile>>,
}

/// The dialect of whoever compiles the WGSL on this target.
const DIALECT: Dialect = if cfg!(target_arch = "wasm32") {
    Dialect::Browser
} else {
    Dialect::Naga
};

/// The checks that naga does not add to kernels.
const UNCHECKED: wgpu::ShaderRuntimeChecks = wgpu::ShaderRuntimeChecks {
    bounds_checks: false,
    force_loop_bounding: false,
    ..wgpu::ShaderRuntimeChecks::checked()
};

impl Gpu {
    /// Calls `watch` from now on whenever kernels are compiled: before the first of them, and after
    /// each. Kernels are compiled when they are first used, which takes seconds where the driver
    /// has none of them in its cache.
    pub fn on_compile(&self, watch: impl Fn(Progress) + Send + Sync + 'static) {
        let pipelines = &self.inner.pipelines;
        *pipelines
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(watch));
    }

    /// The compiled kernels of dispatches, in their order. Those that are new are compiled side by
    /// side.
    pub(super) async fn compiled(
        &self,
        dispatches: &[Dispatch],
    ) -> Result<Vec<Arc<Compiled>>, GpuError> {
        let lock = || {
            self.inner
                .pipelines
                .compiled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut new: HashMap<Key, &Dispatch> = HashMap::new();
        {
            let known = lock();
            new.extend(
                dispatches
                    .iter()
                    .map(|d| (key(d), d))
                    .filter(|(key, _)| !known.contains_key(key)),
            );
        }
        let watch = if new.is_empty() {
            None
        } else {
            let watch = self.inner.pipelines.watch.lock();
            watch.unwrap_or_else(PoisonError::into_inner).clone()
        };
        let (total, done) = (new.len(), AtomicUsize::new(0));
        let say = |done: usize| {
            if let Some(watch) = &watch {
                watch(Progress::of(done, total));
            }
        };
        say(0);
        let compile = |dispatch: &Dispatch| {
            let compiled = self.compile(dispatch);
            say(done.fetch_add(1, Ordering::Relaxed) + 1);
            compiled
        };
        for (key, begun) in side_by_side(new, compile) {
            let (compiled, label, cause) = begun?;
            match cause.await {
                Err(GpuError::Failed { cause }) => {
                    return Err(GpuError::Kernel {
                        kernel: label,
                        cause,
                    });
                }
                other => other?,
            }
            lock().insert(key, Arc::new(compiled));
        }
        let known = lock();
        Ok(dispatches
            .iter()
            .map(|dispatch| Arc::clone(&known[&key(dispatch)]))
            .collect())
    }

    /// Compiles a plan's kernels; those that are new.
    pub(crate) async fn compile_kernels(&self, plan: &Plan) -> Result<(), GpuError> {
        self.compiled(&plan.dispatches).await.map(drop)
    }

    /// A kernel, its label, and what the driver has to say against it.
    fn compile(
        &self,
        dispatch: &Dispatch,
    ) -> Result<
        (
            Compiled,
            String,
            impl Future<Output = Result<(), GpuError>> + use<>,
        ),
        GpuError,
    > {
        let Dispatch {
            kernel,
            variant,
            format,
            overrides,
            ..
        } = dispatch;
        let label = dispatch.label();
        #[cfg(test)]
        if *self
            .inner
            .refused_kernel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            == Some(kernel.name)
        {
            return Err(GpuError::Kernel {
                kernel: label,
                cause: "a test refuses it".into(),
            });
        }
        let source = compose(kernel, variant, *format, DIALECT).map_err(|e| GpuError::Kernel {
            kernel: label.clone(),
            cause: e.to_string(),
        })?;
        let device = &self.inner.device;
        // Naga's errors, and the driver's.
        let allocation = self.begin_allocation(&format!("kernel {label}"), 0)?;
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        let module = match self.inner.caps.cpu {
            true => device.create_shader_module(descriptor),
            // SAFETY: without checks, every address must be inside its binding, and every loop must
            // end. Kernels are ours: none comes from a model or a person.
            // - Addresses: a dispatch touches no more than its kernel's `extents` (test `extents`
            //   records the addresses of every case), and those are inside the bindings of every
            //   plan, for every step that a session submits
            //   (`no_address_of_any_plan_leaves_its_binding`). The step's position and count are
            //   the host's: a pass is no longer than its plan, and ends inside the last segment
            //   (`Session::submit` asserts it, which the random operations of `session/tests`
            //   try).
            // - Nothing from a buffer is an address, but token ids: the host's are checked
            //   (`Session::check`), those that `argmax` and `sample` choose are below the
            //   vocabulary or `NO_TOKEN`, and `embed` skips every id that is no row of its shard,
            //   and `adjust` and `log_probs` those beyond the vocabulary (their cases in `kernels`
            //   and `extents` have such ids; `not_finite` has logits that nothing can be chosen
            //   from). And the places in a batch: `adjust` checks those of adjustments, `embed`,
            //   `argmax`, `sample` and `log_probs` those of chosen tokens, against the lengths that
            //   are parameters, and `rms_norm` listed rows against the step's tokens (the cases
            //   have places beyond). There are no page tables: segments and rings are found by
            //   parameters and the position alone.
            // - Loops end by counters that only their heads change (test `loops`, on every
            //   variant), and are as long as parameters say. It makes prefill a tenth faster on an
            //   H100 (docs/notes/2026-11-27-h100-decode.md), and nothing on CPUs.
            false => unsafe { device.create_shader_module_trusted(descriptor, UNCHECKED) },
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &layout_entries(kernel),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<_> = overrides
            .iter()
            .map(|&(name, value)| (name, f64::from(value)))
            .collect();
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
        self.inner.profiler.count_pipeline();
        let cause = allocation.end();
        Ok((Compiled { pipeline, layout }, label, cause))
    }
}

fn key(dispatch: &Dispatch) -> Key {
    (
        dispatch.kernel.name,
        dispatch.variant.name,
        dispatch.format,
        dispatch.overrides.clone(),
    )
}

/// Does something with every value, on all cores where there are threads. A browser compiles behind
/// our back anyway.
#[cfg(not(target_arch = "wasm32"))]
fn side_by_side<K: Send, V: Send, T: Send>(
    items: HashMap<K, V>,
    each: impl Fn(V) -> T + Sync + Send,
) -> Vec<(K, T)> {
    use rayon::prelude::*;
    items
        .into_par_iter()
        .map(|(key, value)| (key, each(value)))
        .collect()
}

#[cfg(target_arch = "wasm32")]
fn side_by_side<K, V, T>(items: HashMap<K, V>, each: impl Fn(V) -> T) -> Vec<(K, T)> {
    items
        .into_iter()
        .map(|(key, value)| (key, each(value)))
        .collect()
}

fn layout_entries(kernel: &Kernel) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |binding: u32, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let uniforms = (0..2).map(|binding| entry(binding, wgpu::BufferBindingType::Uniform));
    let storage = (2..).zip(kernel.bindings).map(|(binding, of)| {
        entry(
            binding,
            wgpu::BufferBindingType::Storage {
                read_only: of.access == Access::Read,
            },
        )
    });
    uniforms.chain(storage).collect()
}
