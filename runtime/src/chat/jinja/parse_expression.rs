//! Expressions, by the precedences of jinja2's parser.

use std::sync::Arc;

use super::ast::{Comparison, Conditional, Expression, Operator};
use super::error::Error;
use super::lexer::Kind;
use super::parser::{MAX_NESTING, Parser, is_constant};

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

    pub fn primary(&mut self) -> Result<Expression, Error> {
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
}

fn constant(name: &str) -> Expression {
    match name {
        "true" | "True" => Expression::Bool(true),
        "false" | "False" => Expression::Bool(false),
        _ => Expression::None,
    }
}
