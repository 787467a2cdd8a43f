//! Jinja as Python's jinja2 runs it for transformers: its grammar, its types, its errors.
//!
//! Chat templates are written and tested against `transformers`, whose environment is an
//! `ImmutableSandboxedEnvironment` with `trim_blocks`, `lstrip_blocks`, `loopcontrols` and the
//! `generation` statement. A template that raises there is refused here, and one that renders
//! there renders to the same text. The parts:
//!
//! - [`lexer`], [`parser`], `parse_statement`, `parse_expression`, `parse_suffix`, [`ast`]: text to
//!   a tree
//! - [`value`], `key`, `scope`, `extent`, `repr`, [`text`], [`iterate`]: Python's values
//! - [`interpreter`], `budget`, [`execute`], [`evaluate`], [`operate`], [`compare`], [`attribute`],
//!   [`call`]: the tree, run
//! - [`filters`] and its parts, [`tests`], [`methods`] and its parts, [`format`] with
//!   `format_percent` and `format_braces`, [`json`]: what templates call
//!
//! Programs from strangers run here. Each step, each item and each few bytes of a string are paid
//! for from one budget before they are made; nesting is limited in the source, in calls and in
//! values; and the clock is the last limit.

mod ast;
mod attribute;
mod budget;
mod call;
mod compare;
mod error;
mod evaluate;
mod execute;
mod extent;
mod filters;
mod filters_number;
mod filters_sequence;
mod filters_text;
mod format;
mod format_braces;
mod format_percent;
#[cfg(test)]
mod hostile;
mod interpreter;
mod iterate;
mod json;
mod key;
mod lexer;
mod methods;
mod methods_is;
mod methods_pad;
mod methods_search;
mod methods_split;
mod operate;
mod parse_expression;
mod parse_statement;
mod parse_suffix;
mod parser;
mod repr;
mod scope;
#[cfg(test)]
mod semantics;
mod tests;
mod text;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use chrono::NaiveDateTime;
use indexmap::IndexMap;
use serde_json::Value as Json;

pub(super) use budget::Limits;
pub(super) use error::{Error, Kind};
use interpreter::Interpreter;
use value::{Callable, Function, Key, Scope, Value};

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    body: ast::Body,
}

impl Template {
    pub fn new(source: &str) -> Result<Self, Error> {
        guarded(|| parser::parse(source)).map(|body| Self { body })
    }

    /// Renders with variables by name.
    pub fn render(
        &self,
        variables: &serde_json::Map<String, Json>,
        limits: Limits,
        now: &dyn Fn() -> NaiveDateTime,
    ) -> Result<String, Error> {
        guarded(|| {
            let mut interpreter = Interpreter::new(limits, now);
            let globals = globals();
            // The template's blocks. None is looked up by name here.
            globals.set(&"self".into(), interpreter.namespace(IndexMap::new())?);
            for (name, value) in variables {
                let value = from_json(&mut interpreter, value)?;
                globals.set(&name.as_str().into(), value);
            }
            interpreter.render(&self.body, globals)
        })
    }
}

/// Runs a part of the interpreter. No input is known that panics. Where one does, it is an error of
/// the template: a server must live on.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let result = catch_unwind(AssertUnwindSafe(run));
    result.unwrap_or_else(|_| {
        Err(Error::failed(
            "the interpreter panicked: please report the template",
        ))
    })
}

/// The functions that transformers and jinja2 give to every template.
fn globals() -> Rc<Scope> {
    let scope = Scope::new(None);
    let functions = [
        ("raise_exception", Function::RaiseException),
        ("strftime_now", Function::StrftimeNow),
        ("range", Function::Range),
        ("dict", Function::Dict),
        ("namespace", Function::Namespace),
        ("cycler", Function::Cycler),
        ("joiner", Function::Joiner),
    ];
    for (name, function) in functions {
        scope.set(
            &Arc::from(name),
            Value::Callable(Rc::new(Callable::Function(function))),
        );
    }
    scope
}

fn from_json(interpreter: &mut Interpreter<'_>, value: &Json) -> Result<Value, Error> {
    Ok(match value {
        Json::Null => Value::None,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number.into()),
            (None, Some(number)) => Value::Int(number.into()),
            _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            let items = items
                .iter()
                .map(|item| from_json(interpreter, item))
                .collect::<Result<_, _>>()?;
            interpreter.list(items)?
        }
        Json::Object(items) => {
            let mut dict = IndexMap::with_capacity(items.len());
            for (key, value) in items {
                dict.insert(
                    Key(Value::from(key.as_str())),
                    from_json(interpreter, value)?,
                );
            }
            interpreter.dict(dict)?
        }
    })
}
