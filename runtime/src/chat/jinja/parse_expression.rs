//! Expressions, by the precedences of jinja2's parser.

use std::sync::Arc;

use super::ast::{Arguments, Comparison, Conditional, Expression, Operator, Suffix, SuffixKind};
use super::error::Error;
use super::lexer::Kind;
use super::parser::{MAX_NESTING, Parser, is_constant};
use super::{filters, tests};

impl Parser {
    /// An expression, or several with commas between them as a tuple.
    pub fn tuple(
        &mut self,
        with_conditional: bool,
        end_names: &[&str],
    ) -> Result<Expression, Error> {
        self.tuple_items(with_conditional, end_names, false)
    }

    fn tuple_items(
        &mut self,
        with_conditional: bool,
        end_names: &[&str],
        parenthesised: bool,
    ) -> Result<Expression, Error> {
        let (mut items, mut is_tuple) = (Vec::new(), false);
        loop {
            let ends = match self.peek() {
                Kind::VariableEnd | Kind::BlockEnd | Kind::Operator(")") => true,
                Kind::Name(name) => end_names.contains(&&**name),
                _ => false,
            };
            if ends {
                break;
            }
            items.push(self.expression(with_conditional)?);
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                items.push(last);
                Ok(Expression::Tuple(items))
            }
            None if parenthesised => Ok(Expression::Tuple(items)),
            None => Err(self.unexpected("an expression")),
        }
    }

    pub fn expression(&mut self, with_conditional: bool) -> Result<Expression, Error> {
        self.nest(|parser| {
            if with_conditional {
                parser.conditional()
            } else {
                parser.or()
            }
        })
    }

    fn conditional(&mut self) -> Result<Expression, Error> {
        let unknown = self.unknown.len();
        let mut then = self.or()?;
        if !self.is_name("if") {
            return Ok(then);
        }
        // Inside a conditional, jinja2 reports unknown filters and tests only when they run.
        self.unknown.truncate(unknown);
        let outer = std::mem::replace(&mut self.soft, true);
        let mut nested = 0;
        while self.skip_name("if") {
            nested += 1;
            if nested > MAX_NESTING {
                return Err(self.error("too many `if` without `else` in an expression"));
            }
            let condition = self.or()?;
            let otherwise = if self.skip_name("else") {
                Some(self.expression(true)?)
            } else {
                None
            };
            then = Expression::Conditional(Box::new(Conditional {
                condition,
                then,
                otherwise,
            }));
        }
        self.soft = outer;
        Ok(then)
    }

    fn or(&mut self) -> Result<Expression, Error> {
        let first = self.and()?;
        if !self.is_name("or") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_name("or") {
            items.push(self.and()?);
        }
        Ok(Expression::Or(items))
    }

    fn and(&mut self) -> Result<Expression, Error> {
        let first = self.not()?;
        if !self.is_name("and") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_name("and") {
            items.push(self.not()?);
        }
        Ok(Expression::And(items))
    }

    fn not(&mut self) -> Result<Expression, Error> {
        if self.skip_name("not") {
            return Ok(Expression::Not(Box::new(self.nest(Self::not)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, Error> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                Kind::Operator("==") => Comparison::Equal,
                Kind::Operator("!=") => Comparison::NotEqual,
                Kind::Operator("<") => Comparison::Less,
                Kind::Operator("<=") => Comparison::LessEqual,
                Kind::Operator(">") => Comparison::Greater,
                Kind::Operator(">=") => Comparison::GreaterEqual,
                Kind::Name(name) if **name == *"in" => Comparison::In,
                Kind::Name(name)
                    if **name == *"not"
                        && matches!(self.peek_second(), Kind::Name(next) if **next == *"in") =>
                {
                    self.advance();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.advance();
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expression::Compare(Box::new(first), rest)
        })
    }

    fn chain(
        &mut self,
        operators: &[(&str, Operator)],
        operand: fn(&mut Self) -> Result<Expression, Error>,
    ) -> Result<Expression, Error> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some((_, operator)) = operators.iter().find(|(text, _)| self.is_operator(text)) {
            self.advance();
            rest.push((*operator, operand(self)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expression::Chain(Box::new(first), rest)
        })
    }

    fn sum(&mut self) -> Result<Expression, Error> {
        self.chain(
            &[("+", Operator::Add), ("-", Operator::Subtract)],
            Self::concat,
        )
    }

    fn concat(&mut self) -> Result<Expression, Error> {
        let first = self.product()?;
        if !self.is_operator("~") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_operator("~") {
            items.push(self.product()?);
        }
        Ok(Expression::Concat(items))
    }

    fn product(&mut self) -> Result<Expression, Error> {
        let operators = [
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::FloorDivide),
            ("%", Operator::Modulo),
        ];
        self.chain(&operators, Self::power)
    }

    fn power(&mut self) -> Result<Expression, Error> {
        self.chain(&[("**", Operator::Power)], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expression, Error> {
        let first = if self.skip_operator("-") {
            Expression::Negative(Box::new(self.nest(|parser| parser.unary(false))?))
        } else if self.skip_operator("+") {
            Expression::Positive(Box::new(self.nest(|parser| parser.unary(false))?))
        } else {
            self.primary()?
        };
        self.suffixes(first, with_filter)
    }

    fn primary(&mut self) -> Result<Expression, Error> {
        Ok(match self.peek().clone() {
            Kind::Name(name) => {
                self.advance();
                if is_constant(&name) {
                    constant(&name)
                } else {
                    self.name(name)
                }
            }
            Kind::Str(text) => {
                self.advance();
                let mut text = text.to_string();
                while let Kind::Str(more) = self.peek() {
                    text.push_str(more);
                    self.advance();
                }
                Expression::Str(text.into())
            }
            Kind::Int(number) => {
                self.advance();
                Expression::Int(number)
            }
            Kind::Float(number) => {
                self.advance();
                Expression::Float(number)
            }
            Kind::Operator("(") => {
                self.advance();
                let items = self.tuple_items(true, &[], true)?;
                self.expect_operator(")")?;
                items
            }
            Kind::Operator("[") => self.list()?,
            Kind::Operator("{") => self.dict()?,
            _ => return Err(self.unexpected("an expression")),
        })
    }

    fn name(&mut self, name: Arc<str>) -> Expression {
        self.use_name(&name);
        Expression::Name(name)
    }

    fn list(&mut self) -> Result<Expression, Error> {
        self.advance();
        let mut items = Vec::new();
        while !self.is_operator("]") {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.is_operator("]") {
                    break;
                }
            }
            items.push(self.expression(true)?);
        }
        self.expect_operator("]")?;
        Ok(Expression::List(items))
    }

    fn dict(&mut self) -> Result<Expression, Error> {
        self.advance();
        let mut items = Vec::new();
        while !self.is_operator("}") {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.is_operator("}") {
                    break;
                }
            }
            let key = self.expression(true)?;
            self.expect_operator(":")?;
            items.push((key, self.expression(true)?));
        }
        self.expect_operator("}")?;
        Ok(Expression::Dict(items))
    }

    /// Attributes, items and calls; with `filters`, filters and tests after them.
    fn suffixes(&mut self, first: Expression, filters: bool) -> Result<Expression, Error> {
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

fn constant(name: &str) -> Expression {
    match name {
        "true" | "True" => Expression::Bool(true),
        "false" | "False" => Expression::Bool(false),
        _ => Expression::None,
    }
}
