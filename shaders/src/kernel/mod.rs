//! The description of a kernel: WGSL, bindings, parameters, variants, cost, and memory extents.
//!
//! With the feature `testing` a kernel also has a reference and test cases.

mod dispatch;
#[cfg(feature = "testing")]
mod fixture;
mod variant;

pub use dispatch::{Dispatch, Step};
#[cfg(feature = "testing")]
pub use fixture::{Case, DispatchFixture};
pub use variant::Variant;

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It writes, and may read.
    Write,
}

/// A storage buffer of a kernel.
///
/// The first storage buffer has `@binding(2)`; 0 is the parameters, 1 the [`Step`].
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The name in the WGSL.
    pub name: &'static str,
    /// How the kernel uses the buffer.
    pub access: Access,
    /// How tests compare the buffer.
    #[cfg(feature = "testing")]
    pub contents: Contents,
}

/// The type of the 32-bit words of a buffer, which decides how tests compare them.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug)]
pub enum Contents {
    /// Floats.
    Floats,
    /// Integers, such as token ids.
    Integers,
    /// Floats in a packed form. The function unpacks a buffer's words.
    Packed(fn(&DispatchFixture, &[u32]) -> Vec<f64>),
}

/// A storage buffer of floats that a kernel reads.
pub const fn read(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
        #[cfg(feature = "testing")]
        contents: Contents::Floats,
    }
}

/// A storage buffer of floats that a kernel writes.
pub const fn write(name: &'static str) -> Binding {
    Binding {
        access: Access::Write,
        ..read(name)
    }
}

impl Binding {
    /// The same binding with integers in it.
    pub const fn of_integers(self) -> Self {
        Self {
            #[cfg(feature = "testing")]
            contents: Contents::Integers,
            ..self
        }
    }

    /// The same binding with other contents.
    #[cfg(feature = "testing")]
    pub const fn of(self, contents: Contents) -> Self {
        Self { contents, ..self }
    }
}

/// Names the function that unpacks a binding's words for tests: `packed!(write("k"), unpack)`.
///
/// The function exists only with the feature `testing`.
#[cfg(feature = "testing")]
macro_rules! packed {
    ($binding:expr, $unpack:expr) => {
        $binding.of($crate::kernel::Contents::Packed($unpack))
    };
}
#[cfg(not(feature = "testing"))]
macro_rules! packed {
    ($binding:expr, $unpack:expr) => {
        $binding
    };
}
pub(crate) use packed;

/// A compute kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The name of the kernel, its folder and its entry point.
    pub name: &'static str,
    /// The kernel's formula or effect, in one line.
    pub summary: &'static str,
    /// The WGSL before composition.
    pub wgsl: &'static str,
    /// Whether the WGSL imports a weight format.
    pub weights: bool,
    /// Names and byte offsets of the parameters. Tests compare them with the WGSL's.
    pub params: &'static [(&'static str, usize)],
    /// Size of the parameters in bytes.
    pub params_bytes: usize,
    /// The storage buffers, in the order of their bindings.
    pub bindings: &'static [Binding],
    /// The names of the `override` constants.
    pub overrides: &'static [&'static str],
    /// The variants. The first runs on every device.
    pub variants: &'static [Variant],
    /// The least work that a dispatch can do in a step.
    pub cost: fn(&Dispatch, Step) -> Cost,
    /// For each storage buffer, the number of 32-bit words from its start to the last word that a
    /// dispatch may read or write in a step.
    ///
    /// Kernels run without bounds checks on GPUs. Tests record the addresses of every case and
    /// compare them with these numbers, and compare these numbers with the bindings of every plan.
    pub extents: fn(&Dispatch, Step) -> Vec<u64>,
    /// Computes the same naively, with sums in f64.
    #[cfg(feature = "testing")]
    pub reference: fn(&mut DispatchFixture),
    /// Shapes and inputs for tests and benchmarks.
    #[cfg(feature = "testing")]
    pub cases: fn() -> Vec<Case>,
}

/// The least work of a dispatch. Reports divide it by the device's rates to get a time limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The numbers that tell dispatches of one kernel apart, such as rows, width and tokens of a
    /// matmul. Unused places at the end are 0.
    pub shape: [u32; 3],
    /// Bytes read and written, each counted once.
    pub bytes: u64,
    /// Floating-point operations; a multiply-add counts as two.
    pub flops: u64,
}

/// Size in 32-bit words of a struct that a kernel reads.
pub(crate) const fn words_of<T>() -> u64 {
    size_of::<T>() as u64 / 4
}

/// Declares a kernel's parameters: a `#[repr(C)]` struct of `u32` and `f32`, and the names and
/// offsets of its fields. The author pads the struct to a multiple of 16 bytes.
macro_rules! params {
    ($($(#[$doc:meta])* $field:ident: $kind:ty),* $(,)?) => {
        /// The kernel's parameters, in the layout of the WGSL struct of the same name.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Params { $($(#[$doc])* pub $field: $kind),* }

        impl Params {
            /// Names and byte offsets of the fields.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!(Params, $field))),*];
        }
    };
}

pub(crate) use params;
