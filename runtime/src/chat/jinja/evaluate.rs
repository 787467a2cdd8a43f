//! Evaluates expressions.

use std::rc::Rc;

use indexmap::IndexMap;

use super::ast::{Arguments, Comparison, Expression, Operator, Suffix, SuffixKind};
use super::call::Call;
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::shown;
use super::value::{Scope, Value};

impl Interpreter<'_> {
    pub fn evaluate(&mut self, expression: &Expression, scope: &Rc<Scope>) -> Result<Value, Error> {
        self.charge(1)?;
        self.deeper(|interpreter| interpreter.evaluate_inside(expression, scope))
    }

    fn evaluate_inside(
        &mut self,
        expression: &Expression,
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        Ok(match expression {
            Expression::None => Value::None,
            Expression::Bool(truth) => Value::Bool(*truth),
            Expression::Int(number) => Value::Int(*number),
            Expression::Float(number) => Value::Float(*number),
            Expression::Str(text) => Value::text(text.clone(), false),
            Expression::Name(name) => match self.lookup(scope, name)? {
                Some(value) => value,
                None => self.undefined(format!("'{}' is undefined", shown(name)))?,
            },
            Expression::List(items) => {
                let items = self.all(items, scope)?;
                self.list(items)?
            }
            Expression::Tuple(items) => {
                let items = self.all(items, scope)?;
                self.tuple(items)?
            }
            Expression::Dict(items) => self.dict_literal(items, scope)?,
            Expression::Chain(first, rest) => self.chain(first, rest, scope)?,
            Expression::Concat(items) => self.concat(items, scope)?,
            Expression::Compare(first, rest) => self.comparisons(first, rest, scope)?,
            Expression::And(items) => self.logic(items, scope, false)?,
            Expression::Or(items) => self.logic(items, scope, true)?,
            Expression::Not(operand) => Value::Bool(!self.evaluate(operand, scope)?.is_true()),
            Expression::Negative(operand) => {
                let operand = self.evaluate(operand, scope)?;
                self.negative(&operand)?
            }
            Expression::Positive(operand) => {
                let operand = self.evaluate(operand, scope)?;
                self.positive(operand)?
            }
            Expression::Conditional(parts) => {
                if self.evaluate(&parts.condition, scope)?.is_true() {
                    self.evaluate(&parts.then, scope)?
                } else if let Some(otherwise) = &parts.otherwise {
                    self.evaluate(otherwise, scope)?
                } else {
                    self.undefined("the condition is false and there is no `else`".into())?
                }
            }
            Expression::Postfix(first, suffixes) => {
                let first = self.evaluate(first, scope)?;
                self.suffixes(first, suffixes, scope)?
            }
        })
    }

    fn all(&mut self, expressions: &[Expression], scope: &Rc<Scope>) -> Result<Vec<Value>, Error> {
        expressions
            .iter()
            .map(|expression| self.evaluate(expression, scope))
            .collect()
    }

    fn dict_literal(
        &mut self,
        items: &[(Expression, Expression)],
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        let mut dict = IndexMap::new();
        for (key, value) in items {
            let key = self.evaluate(key, scope)?;
            let value = self.evaluate(value, scope)?;
            let key = self.key(key)?;
            dict.insert(key, value);
        }
        self.dict(dict)
    }

    fn chain(
        &mut self,
        first: &Expression,
        rest: &[(Operator, Expression)],
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        let mut left = self.evaluate(first, scope)?;
        for (operator, operand) in rest {
            let right = self.evaluate(operand, scope)?;
            left = self.operate(*operator, &left, &right)?;
        }
        Ok(left)
    }

    fn concat(&mut self, items: &[Expression], scope: &Rc<Scope>) -> Result<Value, Error> {
        let mut out = String::new();
        for item in items {
            let value = self.evaluate(item, scope)?;
            let text = self.stringify(&value)?;
            self.charge_bytes(text.len())?;
            out.push_str(&text);
        }
        Ok(Value::from(out))
    }

    fn comparisons(
        &mut self,
        first: &Expression,
        rest: &[(Comparison, Expression)],
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        let mut left = self.evaluate(first, scope)?;
        for (comparison, operand) in rest {
            let right = self.evaluate(operand, scope)?;
            if !self.compare(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// `and` and `or`: the first operand whose truth is `until`, or else the last.
    fn logic(
        &mut self,
        items: &[Expression],
        scope: &Rc<Scope>,
        until: bool,
    ) -> Result<Value, Error> {
        let mut value = Value::None;
        for item in items {
            value = self.evaluate(item, scope)?;
            if value.is_true() == until {
                break;
            }
        }
        Ok(value)
    }

    /// Applies attributes, items, calls, filters and tests, one after the other.
    pub fn suffixes(
        &mut self,
        first: Value,
        suffixes: &[Suffix],
        scope: &Rc<Scope>,
    ) -> Result<Value, Error> {
        let mut value = first;
        for suffix in suffixes {
            self.charge(1)?;
            value = self
                .suffix(value, suffix, scope, None)
                .map_err(|mut error| {
                    if error.line == 0 {
                        error.line = suffix.line;
                    }
                    error
                })?;
        }
        Ok(value)
    }

    /// A call block's call, which gets the block as its `caller`.
    pub fn evaluate_with_caller(
        &mut self,
        call: &Expression,
        scope: &Rc<Scope>,
        caller: Value,
    ) -> Result<Value, Error> {
        let Expression::Postfix(first, suffixes) = call else {
            return Err(Error::failed("`call` needs a call"));
        };
        let Some((last, before)) = suffixes.split_last() else {
            return Err(Error::failed("`call` needs a call"));
        };
        let first = self.evaluate(first, scope)?;
        let function = self.suffixes(first, before, scope)?;
        self.suffix(function, last, scope, Some(caller))
    }

    fn suffix(
        &mut self,
        value: Value,
        suffix: &Suffix,
        scope: &Rc<Scope>,
        caller: Option<Value>,
    ) -> Result<Value, Error> {
        match &suffix.kind {
            SuffixKind::Attribute(name) => self.attribute(&value, name),
            SuffixKind::Item(item) => {
                let item = self.evaluate(item, scope)?;
                self.item(&value, &item)
            }
            SuffixKind::Slice(parts) => {
                let mut values = [Value::None, Value::None, Value::None];
                for (value, part) in values.iter_mut().zip(&**parts) {
                    if let Some(part) = part {
                        *value = self.evaluate(part, scope)?;
                    }
                }
                self.slice(&value, &values)
            }
            SuffixKind::Call(arguments) => {
                let mut call = self.arguments(arguments, scope)?;
                call.keywords
                    .extend(caller.map(|caller| ("caller".into(), caller)));
                self.call(&value, call)
            }
            SuffixKind::Filter(name, arguments) => {
                let call = self.arguments(arguments, scope)?;
                self.filter(name, value, call)
            }
            SuffixKind::Test {
                name,
                arguments,
                negated,
            } => {
                let call = self.arguments(arguments, scope)?;
                Ok(Value::Bool(self.test(name, &value, call)? != *negated))
            }
        }
    }

    fn arguments(&mut self, arguments: &Arguments, scope: &Rc<Scope>) -> Result<Call, Error> {
        let mut positional = self.all(&arguments.positional, scope)?;
        let mut keywords = Vec::with_capacity(arguments.keywords.len());
        for (name, expression) in &arguments.keywords {
            keywords.push((name.clone(), self.evaluate(expression, scope)?));
        }
        if let Some(more) = &arguments.more_positional {
            let more = self.evaluate(more, scope)?;
            positional.extend(self.collect(&more)?);
        }
        if let Some(more) = &arguments.more_keywords {
            let Value::Dict(more) = self.evaluate(more, scope)? else {
                return Err(Error::failed("`**` needs a dictionary"));
            };
            // The names of a dictionary differ from each other.
            let explicit = keywords.len();
            for (key, value) in &more.items {
                let Value::Str(name) = &key.0 else {
                    return Err(Error::failed("names of arguments must be strings"));
                };
                self.charge(1)?;
                self.charge_names(&name.text, explicit)?;
                if keywords[..explicit]
                    .iter()
                    .any(|(found, _)| *found == name.text)
                {
                    return Err(Error::failed(format!(
                        "the argument `{}` is given twice",
                        shown(&name.text)
                    )));
                }
                keywords.push((name.text.clone(), value.clone()));
            }
        }
        Ok(Call {
            positional,
            keywords,
        })
    }
}
