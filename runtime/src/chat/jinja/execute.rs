//! Executes statements: blocks, loops, assignments, macros.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::{Body, For, Macro, Statement, StatementKind, Suffix, Target};
use super::call::Call;
use super::error::Error;
use super::interpreter::{Flow, Interpreter};
use super::iterate::Loop;
use super::text::shown;
use super::value::{Callable, Key, Scope, Value};

impl Interpreter<'_> {
    pub fn run(&mut self, body: &Body, scope: &Rc<Scope>) -> Result<Flow, Error> {
        self.deeper(|interpreter| interpreter.run_statements(body, scope))
    }

    fn run_statements(&mut self, body: &Body, scope: &Rc<Scope>) -> Result<Flow, Error> {
        for statement in body {
            self.charge(1)?;
            let flow = self.statement(statement, scope).map_err(|mut error| {
                if error.line == 0 {
                    error.line = statement.line;
                }
                error
            })?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement, scope: &Rc<Scope>) -> Result<Flow, Error> {
        match &statement.kind {
            StatementKind::Text(text) => self.write(text)?,
            StatementKind::Print(expression) => {
                let value = self.evaluate(expression, scope)?;
                let text = self.stringify(&value)?;
                self.write(&text)?;
            }
            StatementKind::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.evaluate(condition, scope)?.is_true() {
                        return self.run(body, scope);
                    }
                }
                return self.run(otherwise, scope);
            }
            StatementKind::For(definition) => self.run_for(definition, scope)?,
            StatementKind::Set(target, expression) => {
                let value = self.evaluate(expression, scope)?;
                self.assign(target, value, scope)?;
            }
            StatementKind::SetBlock(target, filters, body) => {
                let value = self.filtered(filters, body, scope)?;
                self.assign(target, value, scope)?;
            }
            StatementKind::Macro(definition) => {
                let value = self.closure(definition, scope)?;
                self.set(scope, &definition.name, value)?;
            }
            StatementKind::Call(definition, call) => {
                let caller = self.closure(definition, scope)?;
                let value = self.evaluate_with_caller(call, scope, caller)?;
                let text = self.stringify(&value)?;
                self.write(&text)?;
            }
            StatementKind::Filter(filters, body) => {
                let value = self.filtered(filters, body, scope)?;
                let text = self.stringify(&value)?;
                self.write(&text)?;
            }
            StatementKind::With(assignments, body) => {
                let inner = Scope::new(Some(scope.clone()));
                for (target, expression) in assignments {
                    let value = self.evaluate(expression, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.run(body, &inner);
            }
            StatementKind::Scope(body) => {
                return self.run(body, &Scope::new(Some(scope.clone())));
            }
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
            StatementKind::Refuse(reason) => return Err(Error::failed(*reason)),
        }
        Ok(Flow::Next)
    }

    fn closure(&mut self, definition: &Arc<Macro>, scope: &Rc<Scope>) -> Result<Value, Error> {
        self.charge(2)?;
        self.closures.push(scope.clone());
        Ok(Value::Callable(Rc::new(Callable::Macro(
            definition.clone(),
            scope.clone(),
        ))))
    }

    /// A body's output, after filters.
    fn filtered(
        &mut self,
        filters: &[Suffix],
        body: &Body,
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        let inner = Scope::new(Some(scope.clone()));
        let text = self.capture(|interpreter| interpreter.run(body, &inner).map(|_| ()))?;
        self.suffixes(text, filters, scope)
    }

    fn run_for(&mut self, definition: &Arc<For>, scope: &Rc<Scope>) -> Result<(), Error> {
        let iterable = self.evaluate(&definition.iterable, scope)?;
        self.run_loop(definition, scope, &iterable, 0)
    }

    /// Runs a loop over `iterable`; `depth` counts the recursive loops around it.
    pub fn run_loop(
        &mut self,
        definition: &Arc<For>,
        scope: &Rc<Scope>,
        iterable: &Value,
        depth: usize,
    ) -> Result<(), Error> {
        let source = RefCell::new(self.iter(iterable)?);
        let sized = definition.condition.is_none() && !matches!(iterable, Value::Generator(_));
        let length = if sized {
            Some(self.length(iterable)?)
        } else {
            None
        };
        let state = Rc::new(Loop {
            definition: definition.clone(),
            scope: scope.clone(),
            source,
            ready: RefCell::new(VecDeque::new()),
            length: Cell::new(length),
            index: Cell::new(0),
            depth,
            next: RefCell::new(None),
            previous: RefCell::new(None),
            current: RefCell::new(None),
            changed: RefCell::new(None),
        });
        let result = self.run_items(definition, scope, &state);
        // A value that holds the loop may hold a chain of loops, which is too deep to drop.
        if Rc::strong_count(&state) > 1 {
            self.loops.push(state);
        }
        result
    }

    fn run_items(
        &mut self,
        definition: &Arc<For>,
        scope: &Rc<Scope>,
        state: &Rc<Loop>,
    ) -> Result<(), Error> {
        let name: Arc<str> = "loop".into();
        let mut completed = false;
        while let Some(item) = self.advance_loop(state)? {
            let inner = Scope::new(Some(scope.clone()));
            inner.set(&name, Value::Loop(state.clone()));
            self.assign(&definition.target, item, &inner)?;
            match self.run(&definition.body, &inner)? {
                Flow::Next => completed = true,
                Flow::Continue => {}
                Flow::Break => break,
            }
        }
        // jinja2 runs `else` unless a body ran to its end.
        if !completed {
            self.run(&definition.otherwise, &Scope::new(Some(scope.clone())))?;
        }
        Ok(())
    }

    pub fn assign(
        &mut self,
        target: &Target,
        value: Value,
        scope: &Rc<Scope>,
    ) -> Result<(), Error> {
        self.charge(1)?;
        match target {
            Target::Name(name) => self.set(scope, name, value)?,
            Target::Attribute(name, attribute) => {
                let Some(Value::Namespace(namespace)) = self.lookup(scope, name)? else {
                    let name = shown(name);
                    return Err(Error::failed(format!(
                        "`{name}` is no namespace: its attributes can't be set"
                    )));
                };
                self.charge_bytes(attribute.len())?;
                if attribute.starts_with('_') {
                    let attribute = shown(attribute);
                    return Err(Error::failed(format!(
                        "a namespace can't hold `{attribute}`"
                    )));
                }
                namespace
                    .values
                    .borrow_mut()
                    .insert(attribute.clone(), value);
            }
            Target::Tuple(targets) => {
                value.defined()?;
                let values = self.collect(&value)?;
                if values.len() != targets.len() {
                    return Err(Error::failed(format!(
                        "{} values can't be assigned to {} names",
                        values.len(),
                        targets.len()
                    )));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value, scope)?;
                }
            }
        }
        Ok(())
    }

    /// Runs a macro's body with its arguments.
    pub fn call_macro(
        &mut self,
        definition: &Arc<Macro>,
        scope: &Rc<Scope>,
        call: Call,
    ) -> Result<Value, Error> {
        let inner = Scope::new(Some(scope.clone()));
        let Call {
            positional,
            mut keywords,
        } = call;
        let count = definition.parameters.len();
        let first_default = count - definition.defaults.len();
        let mut extra = positional.into_iter();
        let explicit_caller = definition.parameters.iter().any(|name| **name == *"caller");
        self.charge(count)?;
        let mut bound = Vec::with_capacity(count);
        for name in &definition.parameters {
            bound.push(match extra.next() {
                Some(value) => Some(value),
                None => {
                    self.charge_names(name, keywords.len())?;
                    keywords
                        .iter()
                        .position(|(found, _)| found == name)
                        .map(|at| keywords.remove(at).1)
                }
            });
        }
        if definition.uses.caller && !explicit_caller {
            let caller = keywords
                .iter()
                .position(|(name, _)| **name == *"caller")
                .map(|at| keywords.remove(at).1);
            let caller = caller.unwrap_or_else(|| Value::undefined("no caller is defined"));
            inner.set(&"caller".into(), caller);
        }
        let rest: Vec<Value> = extra.collect();
        if definition.uses.kwargs {
            let mut items = IndexMap::new();
            for (name, value) in keywords {
                self.charge_bytes(name.len())?;
                items.insert(Key(Value::text(name, false)), value);
            }
            let kwargs = self.dict(items)?;
            inner.set(&"kwargs".into(), kwargs);
        } else if let Some((name, _)) = keywords.first() {
            let (of, name) = (shown(&definition.name), shown(name));
            return Err(Error::failed(format!(
                "macro `{of}` takes no argument `{name}`"
            )));
        }
        if definition.uses.varargs {
            let varargs = self.tuple(rest)?;
            inner.set(&"varargs".into(), varargs);
        } else if !rest.is_empty() {
            let name = shown(&definition.name);
            return Err(Error::failed(format!(
                "macro `{name}` takes at most {count} arguments"
            )));
        }
        for (index, (name, value)) in definition.parameters.iter().zip(bound).enumerate() {
            let value = match value {
                Some(value) => value,
                None if index >= first_default => {
                    self.evaluate(&definition.defaults[index - first_default], &inner)?
                }
                None => self.undefined(format!("parameter `{}` was not provided", shown(name)))?,
            };
            self.set(&inner, name, value)?;
        }
        self.nested(|interpreter| {
            interpreter.capture(|interpreter| interpreter.run(&definition.body, &inner).map(|_| ()))
        })
    }
}
