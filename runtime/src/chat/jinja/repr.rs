//! Values as text: Python's `str` and `repr`.

use std::sync::Arc;

use super::text::{float_repr, write_repr};
use super::value::{Callable, Value};

impl Value {
    /// Python's `str`, appended.
    pub fn write_str(&self, out: &mut String) {
        match self {
            Self::Undefined(_) => {}
            Self::Str(text) => out.push_str(&text.text),
            other => other.write_repr(out),
        }
    }

    /// Python's `repr`, appended.
    pub fn write_repr(&self, out: &mut String) {
        match self {
            Self::Undefined(_) => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(truth) => out.push_str(if *truth { "True" } else { "False" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&float_repr(*number)),
            Self::Str(text) if text.safe => {
                out.push_str("Markup(");
                write_repr(out, &text.text);
                out.push(')');
            }
            Self::Str(text) => write_repr(out, &text.text),
            Self::List(items) => write_items(out, "[", &items.items, "]"),
            Self::Tuple(items) if items.items.len() == 1 => {
                write_items(out, "(", &items.items, ",)")
            }
            Self::Tuple(items) => write_items(out, "(", &items.items, ")"),
            Self::View(items, name) => {
                out.push_str(name);
                write_items(out, "([", &items.items, "])");
            }
            Self::Dict(dict) => {
                out.push('{');
                for (index, (key, value)) in dict.items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    key.0.write_repr(out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
            Self::Range(range) => {
                let stop = range
                    .start
                    .saturating_add(range.step.saturating_mul(range.length as i128));
                out.push_str(&format!("range({}, {stop}", range.start));
                if range.step != 1 {
                    out.push_str(&format!(", {}", range.step));
                }
                out.push(')');
            }
            Self::Generator(_) => out.push_str("<generator>"),
            // A namespace may hold itself.
            Self::Namespace(_) => out.push_str("<Namespace>"),
            Self::Loop(_) => out.push_str("<LoopContext>"),
            Self::Callable(callable) => match &**callable {
                Callable::Macro(definition, _) => {
                    out.push_str("<Macro ");
                    write_repr(out, &definition.name);
                    out.push('>');
                }
                _ => out.push_str("<function>"),
            },
        }
    }

    pub fn to_text(&self) -> Arc<str> {
        match self {
            Self::Str(text) => text.text.clone(),
            other => {
                let mut out = String::new();
                other.write_str(&mut out);
                out.into()
            }
        }
    }
}

fn write_items(out: &mut String, open: &str, items: &[Value], close: &str) {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        item.write_repr(out);
    }
    out.push_str(close);
}
