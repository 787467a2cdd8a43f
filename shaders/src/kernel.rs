//! What a kernel is: WGSL, its bindings, its variants, a naive reference, and the cases that test
//! and time it.

use crate::capabilities::Capabilities;
use crate::plan::{BufferRef, Dispatch};
use crate::weights::WeightFormat;

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads it only.
    Read,
    /// Writes it, and may read it.
    Write,
}

/// A storage buffer of a kernel. The first has `@binding(2)`; 0 is the parameters, 1 the [`Step`].
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name in the WGSL.
    pub name: &'static str,
    /// What the kernel does with it.
    pub access: Access,
    /// What its words are.
    pub contents: Contents,
}

/// What the 32-bit words of a buffer are: how tests compare them.
#[derive(Clone, Copy, Debug)]
pub enum Contents {
    /// A float each.
    Floats,
    /// An integer each, such as a token id.
    Integers,
    /// Floats that are packed in a way that depends on the parameters; gives them back from the
    /// buffer's words.
    Packed(fn(&DispatchFixture, &[u32]) -> Vec<f64>),
}

/// A storage buffer that a kernel reads.
pub const fn read(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
        contents: Contents::Floats,
    }
}

/// A storage buffer that a kernel writes.
pub const fn write(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Write,
        contents: Contents::Floats,
    }
}

impl Binding {
    /// The same binding of other contents.
    pub const fn of(self, contents: Contents) -> Self {
        Self { contents, ..self }
    }
}

/// One specialisation of a kernel's WGSL.
#[derive(Debug)]
pub struct Variant {
    /// Its name in plans and reports.
    pub name: &'static str,
    /// What `#ifdef` sees.
    pub defines: &'static [&'static str],
    /// Whether it needs subgroup operations.
    pub subgroups: bool,
    /// Whether it needs subgroups of 32: [`Capabilities::subgroups32`].
    pub subgroups32: bool,
    /// Whether it computes in halves: [`Capabilities::shader_f16`].
    pub shader_f16: bool,
    /// Whether it needs matrix units: [`Capabilities::cooperative_matrix`].
    pub cooperative_matrix: bool,
    /// Whether it needs subgroups of eight and 64-bit integers: [`Capabilities::subgroups8_int64`].
    pub subgroups8_int64: bool,
    /// Whether it needs weights that are integer codes: [`WeightFormat::has_codes`].
    pub codes: bool,
}

impl Variant {
    /// A variant inside the WebGPU defaults.
    pub const fn base(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            name,
            defines,
            subgroups: false,
            subgroups32: false,
            shader_f16: false,
            cooperative_matrix: false,
            subgroups8_int64: false,
            codes: false,
        }
    }

    /// A variant that uses subgroup operations.
    pub const fn subgroups(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant for subgroups of 32.
    pub const fn subgroups32(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups32: true,
            ..Self::subgroups(name, defines)
        }
    }

    /// A variant that computes in halves.
    pub const fn shader_f16(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            shader_f16: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant that uses matrix units, of halves.
    pub const fn cooperative_matrix(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            cooperative_matrix: true,
            ..Self::shader_f16(name, defines)
        }
    }

    /// A variant for matrix units that uses subgroup operations besides.
    pub const fn cooperative_matrix32(
        name: &'static str,
        defines: &'static [&'static str],
    ) -> Self {
        Self {
            subgroups: true,
            subgroups32: true,
            ..Self::cooperative_matrix(name, defines)
        }
    }

    /// A variant that spreads what lanes load over subgroups of eight and more, and loads 64 bits
    /// at a time.
    pub const fn subgroups8_int64(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups8_int64: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant that computes with the codes of weights as they are.
    pub const fn codes(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            codes: true,
            ..Self::base(name, defines)
        }
    }

    /// Whether it is made for CPUs, which GPUs have no use for.
    pub fn is_for_cpus(&self) -> bool {
        self.defines.contains(&"CPU")
    }

    /// Whether it computes with weights of this format.
    pub fn takes(&self, format: Option<WeightFormat>) -> bool {
        !self.codes || format.is_some_and(WeightFormat::has_codes)
    }

    /// Whether a device with `caps` can run it.
    pub fn runs_on(&self, caps: &Capabilities) -> bool {
        (!self.subgroups || caps.subgroups)
            && (!self.subgroups32 || caps.subgroups32)
            && (!self.shader_f16 || caps.shader_f16)
            && (!self.cooperative_matrix || caps.cooperative_matrix)
            && (!self.subgroups8_int64 || caps.subgroups8_int64)
    }
}

/// A compute kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Its name: the folder's, the entry point's, and the one in plans.
    pub name: &'static str,
    /// What it computes, in one line.
    pub summary: &'static str,
    /// Its WGSL, before composition.
    pub wgsl: &'static str,
    /// Whether the WGSL imports a weight format.
    pub weights: bool,
    /// Names and byte offsets of the parameters, to be checked against the WGSL's.
    pub params: &'static [(&'static str, usize)],
    /// Size of the parameters in bytes.
    pub params_bytes: usize,
    /// Its storage buffers, in order.
    pub bindings: &'static [Binding],
    /// The `override` constants.
    pub overrides: &'static [&'static str],
    /// Its variants. The first runs everywhere.
    pub variants: &'static [Variant],
    /// What a dispatch of it has to do, for a step.
    pub cost: fn(&Dispatch, Step) -> Cost,
    /// For each storage buffer, the 32-bit words from its first to the last that a dispatch may
    /// read or write in this step, used or not: nobody else checks addresses on GPUs. Tests run
    /// every case with its addresses recorded and hold this against them, and hold the bindings of
    /// every plan against this.
    pub extents: fn(&Dispatch, Step) -> Vec<u64>,
    /// Computes the same naively, sums in f64.
    pub reference: fn(&mut DispatchFixture),
    /// Shapes and inputs to test and time it with.
    pub cases: fn() -> Vec<Case>,
}

/// What a dispatch has to do at least: what its time is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// What sets dispatches of a kernel apart, such as rows, width and tokens of a product. Zeros
    /// at the end mean nothing.
    pub shape: [u32; 3],
    /// Bytes read and written, each once.
    pub bytes: u64,
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
}

/// 32-bit words of a struct that a kernel reads.
pub(crate) const fn words_of<T>() -> u64 {
    size_of::<T>() as u64 / 4
}

/// What changes from one replay of a plan to the next. Uniform, 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Position of the first token of this pass: the number of tokens already in the KV cache.
    pub position: u32,
    /// Tokens in this pass.
    pub count: u32,
    /// Zero; uniform structs come in 16 bytes.
    pub reserved: [u32; 2],
}

impl Step {
    /// A pass over `count` tokens, the first at `position`.
    pub fn new(position: u32, count: u32) -> Self {
        Self {
            position,
            count,
            reserved: [0; 2],
        }
    }
}

/// Declares a kernel's parameters: a `#[repr(C)]` struct of `u32` and `f32` padded to 16 bytes by
/// the author, and the names and offsets of its fields.
#[macro_export]
macro_rules! params {
    ($($(#[$doc:meta])* $field:ident: $kind:ty),* $(,)?) => {
        /// The kernel's parameters, as the WGSL struct of the same name.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Params { $($(#[$doc])* pub $field: $kind),* }

        impl Params {
            /// Names and byte offsets.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!(Params, $field))),*];
        }
    };
}

/// A dispatch laid out for a reference: parameters, step, and the words of each storage buffer.
#[derive(Clone, Debug)]
pub struct DispatchFixture {
    /// The kernel's parameters.
    pub params: Vec<u8>,
    /// The step.
    pub step: Step,
    /// The weights' format, where the kernel has weights.
    pub format: Option<WeightFormat>,
    /// The storage buffers, as 32-bit words.
    pub buffers: Vec<Vec<u32>>,
    /// The dispatch's workgroups; the references of attention need the number of splits.
    pub workgroups: [u32; 3],
}

impl DispatchFixture {
    /// The parameters as the kernel's struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// Buffer `index` as floats.
    pub fn floats(&self, index: usize) -> &[f32] {
        bytemuck::cast_slice(&self.buffers[index])
    }

    /// Buffer `index` as floats, to be written.
    pub fn floats_mut(&mut self, index: usize) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.buffers[index])
    }
}

/// A tested and timed dispatch of a kernel.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it, such as its shape.
    pub name: String,
    /// Index into [`Kernel::variants`].
    pub variant: usize,
    /// Values of the `override` constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// Inputs, and outputs before the dispatch.
    pub fixture: DispatchFixture,
    /// Largest normalised mean square error allowed of each written buffer: `sum (a-b)^2 / sum
    /// b^2`.
    pub nmse: f64,
}

impl Case {
    /// The case as a launch of its kernel on `buffers`.
    pub fn dispatch(&self, kernel: &'static Kernel, buffers: Vec<BufferRef>) -> Dispatch {
        Dispatch {
            kernel,
            variant: &kernel.variants[self.variant],
            format: self.fixture.format,
            overrides: self.overrides.clone(),
            params: self.fixture.params.clone(),
            buffers,
            workgroups: self.fixture.workgroups,
        }
    }
}
