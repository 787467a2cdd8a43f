//! A forward pass as data: which kernels run, on which buffers, in which order.
//!
//! A plan is recorded once for each shape and replayed; only the [`Step`](crate::kernel::Step)
//! changes between replays.

use std::fmt;

use crate::kernel::{Cost, Kernel, Step, Variant};
use crate::weights::WeightFormat;

/// Part of a buffer, in bytes. What the buffer is, the executor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferRef {
    /// Index into [`Buffers`].
    pub id: u32,
    /// First byte; a multiple of [`BINDING_ALIGNMENT`](crate::capabilities::BINDING_ALIGNMENT).
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// The buffers that plans speak of: names and sizes.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    entries: Vec<(String, u64)>,
}

impl Buffers {
    /// Declares a buffer of at least `bytes` bytes (rounded up to 16, and never empty).
    pub fn declare(&mut self, name: impl Into<String>, bytes: u64) -> BufferRef {
        let bytes = bytes.max(1).next_multiple_of(16);
        self.entries.push((name.into(), bytes));
        BufferRef {
            id: self.entries.len() as u32 - 1,
            offset: 0,
            bytes,
        }
    }

    /// Name and size in bytes of buffer `id`.
    pub fn get(&self, id: u32) -> Option<(&str, u64)> {
        self.entries
            .get(id as usize)
            .map(|(name, bytes)| (name.as_str(), *bytes))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Says that a buffer takes no memory any more.
    pub fn release(&mut self, id: u32) {
        if let Some((_, bytes)) = self.entries.get_mut(id as usize) {
            *bytes = 0;
        }
    }

    /// Forgets all buffers from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }
}

/// One kernel launch.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The variant of it.
    pub variant: &'static Variant,
    /// The weights' format, where it has weights.
    pub format: Option<WeightFormat>,
    /// Values of the `override` constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// The parameters, as the WGSL struct lies in memory.
    pub params: Vec<u8>,
    /// One part of a buffer for each of the kernel's bindings.
    pub buffers: Vec<BufferRef>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// The parameters as the kernel's struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// Kernel, variant and weight format, for people.
    pub fn label(&self) -> String {
        let (kernel, variant) = (self.kernel.name, self.variant.name);
        match self.format {
            Some(format) => format!("{kernel}.{variant} {format}"),
            None => format!("{kernel}.{variant}"),
        }
    }

    /// What it has to do for a step.
    pub fn cost(&self, step: Step) -> Cost {
        (self.kernel.cost)(self, step)
    }
}

/// Kernel launches in order; each sees what the ones before it wrote.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The launches.
    pub dispatches: Vec<Dispatch>,
    /// What comes from the host in between, in order.
    pub uploads: Vec<Upload>,
}

/// Bytes that the host writes before a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The launch, as an index.
    pub before: usize,
    /// What is written: a number that the executor knows.
    pub host: u32,
    /// Where it goes, one part after the other.
    pub to: [BufferRef; 2],
}

impl Plan {
    /// Adds a launch.
    pub fn push(&mut self, dispatch: Dispatch) {
        debug_assert_eq!(
            dispatch.buffers.len(),
            dispatch.kernel.bindings.len(),
            "{}",
            dispatch.kernel.name
        );
        debug_assert_eq!(
            dispatch.params.len(),
            dispatch.kernel.params_bytes,
            "{}",
            dispatch.kernel.name
        );
        self.dispatches.push(dispatch);
    }

    /// The plan as text, a line for each launch: kernel, variant, format, buffers, workgroups,
    /// parameters.
    pub fn display<'a>(&'a self, buffers: &'a Buffers) -> impl fmt::Display + 'a {
        Printed {
            plan: self,
            buffers,
        }
    }
}

struct Printed<'a> {
    plan: &'a Plan,
    buffers: &'a Buffers,
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in &self.plan.dispatches {
            write!(f, "{}", d.kernel.name)?;
            if d.kernel.variants.len() > 1 {
                write!(f, ".{}", d.variant.name)?;
            }
            if let Some(format) = d.format {
                write!(f, " {format}")?;
            }
            for (binding, buffer) in d.kernel.bindings.iter().zip(&d.buffers) {
                let (name, _) = self.buffers.get(buffer.id).unwrap_or(("?", 0));
                write!(f, " {}={name}", binding.name)?;
                if buffer.offset > 0 {
                    write!(f, "+{}", buffer.offset)?;
                }
            }
            let [x, y, z] = d.workgroups;
            write!(f, " [{x}x{y}x{z}]")?;
            for (name, offset) in d
                .kernel
                .params
                .iter()
                .filter(|(name, _)| !name.starts_with("reserved"))
            {
                let word: [u8; 4] = d.params[*offset..offset + 4].try_into().unwrap_or_default();
                let (integer, float) = (u32::from_le_bytes(word), f32::from_le_bytes(word));
                // Integers here are small; the words of ordinary floats are huge.
                match integer >> 24 {
                    0 => write!(f, " {name}:{integer}")?,
                    _ => write!(f, " {name}:{float}")?,
                }
            }
            for (name, value) in &d.overrides {
                write!(f, " {name}={value}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
