//! A lit landscape: about a thousand instanced cubes, and a camera that circles above them.

use godwit::wgpu;

/// Cubes along each side of the floor.
const CUBES_PER_SIDE: u32 = 32;
/// Vertices of a cube: six faces of two triangles.
const VERTICES: u32 = 36;
const COLOUR: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8UnormSrgb;
const DEPTH: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;

/// As the shader reads it.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct View {
    from_world: [[f32; 4]; 4],
    seconds: f32,
    cubes_per_side: u32,
    reserved: [u32; 2],
}

/// The pipeline of the landscape, and the image that it is drawn into.
pub struct Landscape {
    pipeline: wgpu::RenderPipeline,
    view: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    colour: wgpu::TextureView,
    depth: wgpu::TextureView,
    aspect: f32,
}

impl Landscape {
    /// A landscape in an image of this size.
    pub fn new(device: &wgpu::Device, [width, height]: [u32; 2]) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("the landscape"),
            source: wgpu::ShaderSource::Wgsl(include_str!("landscape.wgsl").into()),
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("the landscape"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("cube"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: Some(wgpu::DepthStencilState {
                format: DEPTH,
                depth_write_enabled: Some(true),
                depth_compare: Some(wgpu::CompareFunction::Less),
                stencil: Default::default(),
                bias: Default::default(),
            }),
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("lit"),
                compilation_options: Default::default(),
                targets: &[Some(COLOUR.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let view = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("the view"),
            size: size_of::<View>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("the view"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: view.as_entire_binding(),
            }],
        });
        let image = |format| {
            let texture = device.create_texture(&wgpu::TextureDescriptor {
                label: Some("the image"),
                size: wgpu::Extent3d {
                    width,
                    height,
                    depth_or_array_layers: 1,
                },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            });
            texture.create_view(&wgpu::TextureViewDescriptor::default())
        };
        Self {
            pipeline,
            view,
            bindings,
            colour: image(COLOUR),
            depth: image(DEPTH),
            aspect: width as f32 / height as f32,
        }
    }

    /// Draws and submits the image of a moment.
    pub fn draw(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, seconds: f32) {
        let view = View {
            from_world: camera(0.15 * seconds, self.aspect),
            seconds,
            cubes_per_side: CUBES_PER_SIDE,
            reserved: [0; 2],
        };
        queue.write_buffer(&self.view, 0, bytemuck::bytes_of(&view));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let background = wgpu::Color {
                r: 0.02,
                g: 0.03,
                b: 0.06,
                a: 1.0,
            };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("the landscape"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &self.colour,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(background),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                    view: &self.depth,
                    depth_ops: Some(wgpu::Operations {
                        load: wgpu::LoadOp::Clear(1.0),
                        store: wgpu::StoreOp::Discard,
                    }),
                    stencil_ops: None,
                }),
                ..Default::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bindings, &[]);
            pass.draw(0..VERTICES, 0..CUBES_PER_SIDE * CUBES_PER_SIDE);
        }
        queue.submit([encoder.finish()]);
    }
}

/// From the world to the image, column by column: a camera at an angle around the middle.
fn camera(angle: f32, aspect: f32) -> [[f32; 4]; 4] {
    let (distance, height) = (19.0, 11.0);
    let length = f32::hypot(distance, height);
    // The axes of the camera in the world.
    let back = [
        angle.sin() * distance / length,
        height / length,
        angle.cos() * distance / length,
    ];
    let right = [angle.cos(), 0.0, -angle.sin()];
    let up = [
        back[1] * right[2] - back[2] * right[1],
        back[2] * right[0] - back[0] * right[2],
        back[0] * right[1] - back[1] * right[0],
    ];
    let (near, far) = (0.5, 80.0);
    // Half of the field of view is 30 degrees high.
    let zoom = 3.0_f32.sqrt();
    let depth = far / (near - far);
    let mut columns = [[0.0; 4]; 4];
    for (axis, column) in columns.iter_mut().take(3).enumerate() {
        *column = [
            right[axis] * zoom / aspect,
            up[axis] * zoom,
            back[axis] * depth,
            -back[axis],
        ];
    }
    columns[3] = [0.0, 0.0, -length * depth + near * depth, length];
    columns
}
