//! The state of a program that runs: variables, output, budgets of steps, of depth and of output.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use indexmap::IndexMap;
use web_time::Instant;

use super::ast::Body;
use super::budget::{Limits, STEPS_PER_LOOK, check_depth};
use super::error::Error;
use super::iterate::Loop;
use super::text::shown;
use super::value::{Dict, Extent, Key, Namespace, Scope, Sequence, Value};

pub(super) struct Interpreter<'a> {
    pub fuel: u64,
    pub started: Instant,
    pub max_time: Duration,
    /// Steps until the next look at the clock.
    pub look: u64,
    max_output: usize,
    pub calls: u32,
    pub nesting: u32,
    out: String,
    written: usize,
    /// Local time, for `strftime_now`.
    pub now: &'a dyn Fn() -> NaiveDateTime,
    /// Scopes that macros hold, namespaces, and loops that values hold: emptied in the end, since
    /// they may hold themselves or long chains of each other.
    pub closures: Vec<Rc<Scope>>,
    namespaces: Vec<Rc<Namespace>>,
    pub loops: Vec<Rc<Loop>>,
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Drop for Interpreter<'_> {
    fn drop(&mut self) {
        for scope in &self.closures {
            drop(scope.values.take());
        }
        for namespace in &self.namespaces {
            drop(namespace.values.take());
        }
        for state in &self.loops {
            state.clear();
        }
    }
}

impl<'a> Interpreter<'a> {
    pub fn new(limits: Limits, now: &'a dyn Fn() -> NaiveDateTime) -> Self {
        Self {
            fuel: limits.fuel,
            started: Instant::now(),
            max_time: limits.time,
            look: STEPS_PER_LOOK,
            max_output: limits.output,
            calls: 0,
            nesting: 0,
            out: String::new(),
            written: 0,
            now,
            closures: Vec::new(),
            namespaces: Vec::new(),
            loops: Vec::new(),
        }
    }

    /// Renders a template.
    pub fn render(&mut self, body: &Body, globals: Rc<Scope>) -> Result<String, Error> {
        let scope = Scope::new(Some(globals));
        self.run(body, &scope)?;
        Ok(std::mem::take(&mut self.out))
    }

    fn sequence(&mut self, items: Vec<Value>) -> Result<Rc<Sequence>, Error> {
        self.charge(1 + 2 * items.len())?;
        let extent = Extent::of(&items);
        check_depth(extent)?;
        Ok(Rc::new(Sequence { items, extent }))
    }

    pub fn list(&mut self, items: Vec<Value>) -> Result<Value, Error> {
        Ok(Value::List(self.sequence(items)?))
    }

    pub fn tuple(&mut self, items: Vec<Value>) -> Result<Value, Error> {
        Ok(Value::Tuple(self.sequence(items)?))
    }

    pub fn view(&mut self, items: Vec<Value>, name: &'static str) -> Result<Value, Error> {
        Ok(Value::View(self.sequence(items)?, name))
    }

    pub fn dict(&mut self, items: IndexMap<Key, Value>) -> Result<Value, Error> {
        self.charge(1 + 2 * items.len())?;
        let extent = Extent::of(items.iter().flat_map(|(key, value)| [&key.0, value]));
        check_depth(extent)?;
        Ok(Value::Dict(Rc::new(Dict { items, extent })))
    }

    pub fn namespace(&mut self, values: IndexMap<Arc<str>, Value>) -> Result<Value, Error> {
        self.charge(2 + values.len())?;
        if let Some(name) = values.keys().find(|name| name.starts_with('_')) {
            let name = shown(name);
            return Err(Error::failed(format!(
                "a namespace can't hold `{name}`: it begins with an underscore"
            )));
        }
        let namespace = Rc::new(Namespace {
            values: RefCell::new(values),
        });
        self.namespaces.push(namespace.clone());
        Ok(Value::Namespace(namespace))
    }

    /// A key of a dictionary.
    pub fn key(&mut self, value: Value) -> Result<Key, Error> {
        self.charge_bytes(value.extent().bytes)?;
        value.into_key()
    }

    /// Python's `str`.
    pub fn stringify(&mut self, value: &Value) -> Result<Arc<str>, Error> {
        if let Value::Str(text) = value {
            return Ok(text.text.clone());
        }
        self.charge_repr(value)?;
        Ok(value.to_text())
    }

    pub fn write(&mut self, text: &str) -> Result<(), Error> {
        self.charge_bytes(text.len())?;
        self.written = self.written.saturating_add(text.len());
        if self.written > self.max_output {
            return Err(Error::output());
        }
        self.out.push_str(text);
        Ok(())
    }

    /// Runs a body and takes its output.
    pub fn capture(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<Value, Error> {
        let outer = std::mem::take(&mut self.out);
        let written = self.written;
        let result = run(self);
        self.written = written;
        let text = std::mem::replace(&mut self.out, outer);
        result?;
        self.charge_bytes(text.len())?;
        Ok(Value::from(text))
    }
}
