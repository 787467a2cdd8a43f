//! The renderer's device, created with what Godwit would like of it.

use godwit::{Gpu, GpuOptions, wgpu};

/// The device that the landscape is drawn with.
pub struct Host {
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
}

impl Host {
    /// Opens the adapter that wgpu prefers, without a window.
    pub fn open() -> anyhow::Result<Self> {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&options))?;
        let mut descriptor = wgpu::DeviceDescriptor {
            label: Some("the renderer"),
            ..Default::default()
        };
        Gpu::wanted(&adapter, &GpuOptions::default())?.add_to(&mut descriptor);
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        Ok(Self {
            adapter,
            device,
            queue,
        })
    }
}
