//! Tokens to a tree, by jinja2's grammar with transformers' extensions: what all of it needs.

use std::sync::Arc;

use super::ast::{Body, Statement, StatementKind, Uses};
use super::error::Error;
use super::lexer::{Kind, Token, tokenize};

/// Levels of nesting, of statements and of expressions together.
pub(super) const MAX_NESTING: u32 = 100;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// Inside `if`, where jinja2 reports unknown filters and tests only when they run.
    pub soft: bool,
    /// Unknown filters and tests of the present statement that no conditional made soft.
    pub unknown: Vec<Error>,
    /// Special names that were read, for each macro that is open.
    pub uses: Vec<Uses>,
    /// Loops that are open in the present function: `break` needs one.
    pub loops: u32,
}

/// A template's statements.
pub(super) fn parse(source: &str) -> Result<Body, Error> {
    let tokens = tokenize(source)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        soft: false,
        unknown: Vec::new(),
        uses: Vec::new(),
        loops: 0,
    };
    let (body, _) = parser.body(&[])?;
    Ok(body)
}

impl Parser {
    pub fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub fn peek_second(&self) -> &Kind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    pub fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    pub fn advance(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        kind
    }

    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::syntax(message, self.line())
    }

    pub fn unexpected(&self, expected: &str) -> Error {
        self.error(format!(
            "expected {expected}, not {}",
            describe(self.peek())
        ))
    }

    pub fn nest<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == MAX_NESTING {
            return Err(self.error(format!("more than {MAX_NESTING} levels of nesting")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Kind::Operator(found) if *found == operator)
    }

    pub fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect_operator(&mut self, operator: &str) -> Result<(), Error> {
        if self.skip_operator(operator) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{operator}`")))
        }
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Kind::Name(found) if **found == *name)
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect_name(&mut self) -> Result<Arc<str>, Error> {
        match self.peek() {
            Kind::Name(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub fn use_name(&mut self, name: &str) {
        for uses in &mut self.uses {
            match name {
                "caller" => uses.caller = true,
                "kwargs" => uses.kwargs = true,
                "varargs" => uses.varargs = true,
                _ => {}
            }
        }
    }

    fn expect_block_end(&mut self) -> Result<(), Error> {
        if *self.peek() == Kind::BlockEnd {
            self.advance();
            return Ok(());
        }
        Err(self.unexpected("the end of the statement"))
    }

    /// Statements up to a tag named in `ends`, which is returned; its name is consumed.
    fn body(&mut self, ends: &[&str]) -> Result<(Body, String), Error> {
        let mut body = Vec::new();
        loop {
            if !self.unknown.is_empty() {
                return Err(self.unknown.swap_remove(0));
            }
            let line = self.line();
            match self.advance() {
                Kind::Data(text) => body.push(Statement {
                    line,
                    kind: StatementKind::Text(text),
                }),
                Kind::VariableBegin => {
                    let expression = self.tuple(true, &[])?;
                    if self.advance() != Kind::VariableEnd {
                        self.at = self.at.saturating_sub(1);
                        return Err(self.unexpected("`}}`"));
                    }
                    body.push(Statement {
                        line,
                        kind: StatementKind::Print(expression),
                    });
                }
                Kind::BlockBegin => {
                    if let Kind::Name(name) = self.peek()
                        && ends.contains(&&**name)
                    {
                        let name = name.to_string();
                        self.advance();
                        return Ok((body, name));
                    }
                    body.push(self.nest(Self::statement)?);
                    self.expect_block_end()?;
                }
                _ if ends.is_empty() => return Ok((body, String::new())),
                _ => return Err(self.error(format!("`{}` is missing", ends[ends.len() - 1]))),
            }
        }
    }

    /// A body inside a statement, after the end of the opening tag.
    pub fn inner(&mut self, ends: &[&str], soft: bool) -> Result<(Body, String), Error> {
        // jinja2 lets a colon end a statement's head.
        self.skip_operator(":");
        self.expect_block_end()?;
        let outer = std::mem::replace(&mut self.soft, soft);
        let body = self.body(ends);
        self.soft = outer;
        body
    }
}

pub(super) fn is_constant(name: &str) -> bool {
    matches!(name, "true" | "false" | "none" | "True" | "False" | "None")
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Name(name) => format!("`{name}`"),
        Kind::Operator(operator) => format!("`{operator}`"),
        Kind::Str(_) => "a string".into(),
        Kind::Int(_) | Kind::Float(_) => "a number".into(),
        Kind::VariableEnd => "`}}`".into(),
        Kind::BlockEnd => "`%}`".into(),
        Kind::End => "the end of the template".into(),
        Kind::Data(_) | Kind::VariableBegin | Kind::BlockBegin => "text".into(),
    }
}
