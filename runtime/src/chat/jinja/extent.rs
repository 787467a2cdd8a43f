//! The depth and the size of values, for the budget of those that walk through them.

use super::value::{Callable, Value};

/// What it takes to walk through a value: values share their parts, so that few steps make large
/// ones.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    /// Levels of nesting.
    pub depth: u32,
    /// About the bytes of its text.
    pub bytes: usize,
}

impl Extent {
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Value>) -> Self {
        parts
            .into_iter()
            .fold(Self { depth: 1, bytes: 2 }, |extent, part| {
                let part = part.extent();
                Self {
                    depth: extent.depth.max(1 + part.depth),
                    bytes: extent.bytes.saturating_add(part.bytes).saturating_add(4),
                }
            })
    }
}

impl Value {
    pub fn extent(&self) -> Extent {
        let nested = |extent: Extent| Extent {
            depth: 1 + extent.depth,
            ..extent
        };
        match self {
            Self::Str(text) => Extent {
                depth: 0,
                bytes: text.text.len(),
            },
            Self::List(items) | Self::Tuple(items) | Self::View(items, _) => items.extent,
            Self::Dict(items) => items.extent,
            Self::Generator(generator) => generator.extent,
            Self::Callable(callable) => match &**callable {
                Callable::Method(value, _) | Callable::Joiner(value, _) => nested(value.extent()),
                Callable::Cycler(items, _) => nested(items.extent),
                Callable::Macro(definition, _) => Extent {
                    depth: 0,
                    bytes: 16 + definition.name.len(),
                },
                Callable::Function(_) => Extent {
                    depth: 0,
                    bytes: 16,
                },
            },
            Self::Undefined(undefined) => Extent {
                depth: 0,
                bytes: 8 + undefined.message.len(),
            },
            Self::Range(_) => Extent {
                depth: 0,
                bytes: 40,
            },
            _ => Extent { depth: 0, bytes: 8 },
        }
    }
}
