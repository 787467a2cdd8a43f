//! Parses what follows an operand: attributes, subscripts, calls, filters and tests.

use std::sync::Arc;

use super::ast::{Arguments, Expression, Suffix, SuffixKind};
use super::error::Error;
use super::lexer::Kind;
use super::parser::Parser;
use super::{filters, tests};

impl Parser {
    /// Attributes, items and calls; with `filters`, filters and tests after them.
    pub fn suffixes(&mut self, first: Expression, filters: bool) -> Result<Expression, Error> {
        let mut suffixes = Vec::new();
        let mut after_filter = false;
        loop {
            let line = self.line();
            let kind = match self.peek() {
                Kind::Operator("." | "[") if !after_filter => self.subscript()?,
                Kind::Operator("(") => SuffixKind::Call(self.arguments()?),
                Kind::Operator("|") if filters => {
                    after_filter = true;
                    self.advance();
                    suffixes.push(self.filter()?);
                    continue;
                }
                Kind::Name(name) if filters && **name == *"is" => {
                    after_filter = true;
                    self.test()?
                }
                _ => break,
            };
            suffixes.push(Suffix { line, kind });
        }
        Ok(if suffixes.is_empty() {
            first
        } else {
            Expression::Postfix(Box::new(first), suffixes)
        })
    }

    fn subscript(&mut self) -> Result<SuffixKind, Error> {
        if self.skip_operator(".") {
            return match self.advance() {
                Kind::Name(name) => Ok(SuffixKind::Attribute(name)),
                Kind::Int(index) => Ok(SuffixKind::Item(Expression::Int(index))),
                _ => Err(self.error("expected a name or a number after `.`")),
            };
        }
        self.advance();
        let mut items = Vec::new();
        while !self.is_operator("]") {
            if !items.is_empty() {
                self.expect_operator(",")?;
            }
            items.push(self.subscribed()?);
        }
        self.expect_operator("]")?;
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            return Ok(item);
        }
        let items: Option<Vec<Expression>> = items
            .into_iter()
            .map(|item| match item {
                SuffixKind::Item(item) => Some(item),
                _ => None,
            })
            .collect();
        let items = items.ok_or_else(|| self.error("a tuple of slices is no subscript"))?;
        Ok(SuffixKind::Item(Expression::Tuple(items)))
    }

    fn subscribed(&mut self) -> Result<SuffixKind, Error> {
        let mut parts = [None, None, None];
        if !self.is_operator(":") {
            let item = self.expression(true)?;
            if !self.is_operator(":") {
                return Ok(SuffixKind::Item(item));
            }
            parts[0] = Some(item);
        }
        for part in &mut parts[1..] {
            if !self.skip_operator(":") {
                break;
            }
            if !(self.is_operator(":") || self.is_operator("]") || self.is_operator(",")) {
                *part = Some(self.expression(true)?);
            }
        }
        Ok(SuffixKind::Slice(Box::new(parts)))
    }

    fn arguments(&mut self) -> Result<Arguments, Error> {
        self.expect_operator("(")?;
        let mut arguments = Arguments::default();
        let mut require_comma = false;
        while !self.is_operator(")") {
            if require_comma {
                self.expect_operator(",")?;
                if self.is_operator(")") {
                    break;
                }
            }
            require_comma = true;
            let starred = arguments.more_positional.is_some();
            let done = arguments.more_keywords.is_some();
            let keyword = match (self.peek(), self.peek_second()) {
                (Kind::Name(name), Kind::Operator("=")) => Some(name.clone()),
                _ => None,
            };
            if done || starred && keyword.is_none() && !self.is_operator("**") {
                return Err(self.error("arguments are not in order"));
            }
            if self.skip_operator("*") {
                arguments.more_positional = Some(Box::new(self.expression(true)?));
            } else if self.skip_operator("**") {
                arguments.more_keywords = Some(Box::new(self.expression(true)?));
            } else if let Some(name) = keyword {
                self.advance();
                self.advance();
                if arguments.keywords.iter().any(|(other, _)| *other == name) {
                    return Err(self.error(format!("the argument `{name}` is given twice")));
                }
                arguments.keywords.push((name, self.expression(true)?));
            } else if !arguments.keywords.is_empty() {
                return Err(self.error("arguments are not in order"));
            } else {
                arguments.positional.push(self.expression(true)?);
            }
        }
        self.expect_operator(")")?;
        Ok(arguments)
    }

    fn dotted_name(&mut self) -> Result<Arc<str>, Error> {
        let first = self.expect_name()?;
        if !self.is_operator(".") {
            return Ok(first);
        }
        let mut name = first.to_string();
        while self.skip_operator(".") {
            name.push('.');
            name.push_str(&self.expect_name()?);
        }
        Ok(name.into())
    }

    /// A filter's name and arguments.
    pub fn filter(&mut self) -> Result<Suffix, Error> {
        let line = self.line();
        let name = self.dotted_name()?;
        if !self.soft && !filters::exists(&name) {
            self.unknown
                .push(Error::syntax(format!("there is no filter `{name}`"), line));
        }
        let arguments = if self.is_operator("(") {
            self.arguments()?
        } else {
            Arguments::default()
        };
        Ok(Suffix {
            line,
            kind: SuffixKind::Filter(name, arguments),
        })
    }

    fn test(&mut self) -> Result<SuffixKind, Error> {
        let line = self.line();
        self.advance();
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        if !self.soft && !tests::exists(&name) {
            self.unknown
                .push(Error::syntax(format!("there is no test `{name}`"), line));
        }
        let takes_operand = match self.peek() {
            Kind::Name(name) => !matches!(&**name, "else" | "or" | "and"),
            Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Operator("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.is_operator("(") {
            self.arguments()?
        } else if takes_operand {
            if self.is_name("is") {
                return Err(self.error("tests can't be chained with `is`"));
            }
            let operand = self.primary()?;
            let operand = self.suffixes(operand, false)?;
            Arguments {
                positional: vec![operand],
                ..Arguments::default()
            }
        } else {
            Arguments::default()
        };
        Ok(SuffixKind::Test {
            name,
            arguments,
            negated,
        })
    }
}
