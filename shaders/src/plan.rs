//! A forward pass as data: which kernels run on which buffers, and in which order.
//!
//! A plan is recorded once for each shape and replayed. Only the [`Step`](crate::kernel::Step)
//! changes between replays.

use std::fmt;

pub use crate::buffers::{BufferRef, Buffers};
pub use crate::kernel::Dispatch;

/// Dispatches in order. Each sees the writes of the dispatches before it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The dispatches.
    pub dispatches: Vec<Dispatch>,
    /// Data that the host writes between dispatches, in order.
    pub uploads: Vec<Upload>,
}

/// Bytes that the host writes before a dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Index of the dispatch that the bytes must precede.
    pub before: usize,
    /// The executor's number for the data on the host.
    pub host: u32,
    /// The destinations, which the data fills one after the other.
    pub to: [BufferRef; 2],
}

impl Plan {
    /// Appends a dispatch.
    pub fn push(&mut self, dispatch: Dispatch) {
        let kernel = dispatch.kernel;
        debug_assert_eq!(
            dispatch.buffers.len(),
            kernel.bindings.len(),
            "{}",
            kernel.name
        );
        debug_assert_eq!(
            dispatch.params.len(),
            kernel.params_bytes,
            "{}",
            kernel.name
        );
        self.dispatches.push(dispatch);
    }

    /// The plan as text. Each dispatch has a line: kernel, variant, weight format, buffers,
    /// workgroups, parameters, overrides.
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
            let params = d.kernel.params.iter();
            for (name, offset) in params.filter(|(name, _)| !name.starts_with("reserved")) {
                let word: [u8; 4] = d.params[*offset..offset + 4].try_into().unwrap_or_default();
                let integer = u32::from_le_bytes(word);
                let float = f32::from_le_bytes(word);
                // Parameters carry no type. Integers are below 2^24, where no ordinary float is.
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
