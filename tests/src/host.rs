//! A program that draws: a device and handlers of its own, frames, a thread that polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use godwit::{Gpu, GpuError, GpuOptions, wgpu};
use pollster::block_on;

/// A program with a device and handlers of its own.
pub struct Host {
    /// The adapter of its device.
    pub adapter: wgpu::Adapter,
    /// Its device.
    pub device: wgpu::Device,
    queue: wgpu::Queue,
    /// Errors that its handler heard of.
    pub errors: Arc<AtomicUsize>,
    /// Times that its callback heard of the device's loss.
    pub losses: Arc<AtomicUsize>,
}

fn adapter() -> wgpu::Adapter {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .next()
        .expect("a GPU, or the software driver that tests/fetch.sh installs")
}

impl Host {
    /// A host whose device has what `prepare` adds to the descriptor.
    ///
    /// # Panics
    /// There is no GPU.
    pub fn new(prepare: impl Fn(&wgpu::Adapter, &mut wgpu::DeviceDescriptor<'_>)) -> Self {
        let adapter = adapter();
        let mut descriptor = wgpu::DeviceDescriptor::default();
        prepare(&adapter, &mut descriptor);
        let (device, queue) = block_on(adapter.request_device(&descriptor)).expect("a device");
        let (errors, losses) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let heard = Arc::clone(&errors);
        device.on_uncaptured_error(Arc::new(move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        }));
        let heard = Arc::clone(&losses);
        device.set_device_lost_callback(move |_, _| {
            heard.fetch_add(1, Ordering::Relaxed);
        });
        Self {
            adapter,
            device,
            queue,
            errors,
            losses,
        }
    }

    /// A host whose device has what Godwit would like.
    ///
    /// # Panics
    /// There is no GPU.
    pub fn willing() -> Self {
        Self::new(|adapter, descriptor| {
            let wanted = Gpu::wanted(adapter, &GpuOptions::default()).expect("a usable adapter");
            wanted.add_to(descriptor);
        })
    }

    /// Its device, shared.
    ///
    /// # Errors
    /// As [`Gpu::share`].
    pub fn share(&self) -> Result<Gpu, GpuError> {
        let (device, queue) = (self.device.clone(), self.queue.clone());
        Gpu::share(&self.adapter, device, queue, &GpuOptions::default())
    }

    /// A mistake of the host's: wgpu reports it to the handler.
    pub fn err(&self) {
        let _ = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
    }

    /// Draws a frame: clears a texture of this size.
    pub fn frame(&self, size: u32) {
        let texture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("a frame"),
            size: wgpu::Extent3d {
                width: size,
                height: size,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let attachment = wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLUE),
                store: wgpu::StoreOp::Store,
            },
        };
        drop(encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(attachment)],
            ..Default::default()
        }));
        self.queue.submit([encoder.finish()]);
    }
}

/// Runs something beside a thread that polls the device, as engines and user interfaces do.
///
/// # Panics
/// The device does not poll.
pub fn beside_a_poller<T>(host: &Host, run: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                host.device.poll(wgpu::PollType::Poll).expect("it polls");
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let result = run();
        is_over.store(true, Ordering::Relaxed);
        result
    })
}
