//! Statements: tokens to a tree, by jinja2's grammar with transformers' extensions.

use std::sync::Arc;

use super::ast::{
    Body, Expression, For, Macro, Statement, StatementKind, Suffix, SuffixKind, Target, Uses,
};
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
    uses: Vec<Uses>,
    /// Loops that are open in the present function: `break` needs one.
    loops: u32,
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
    fn inner(&mut self, ends: &[&str], soft: bool) -> Result<(Body, String), Error> {
        // jinja2 lets a colon end a statement's head.
        self.skip_operator(":");
        self.expect_block_end()?;
        let outer = std::mem::replace(&mut self.soft, soft);
        let body = self.body(ends);
        self.soft = outer;
        body
    }

    fn statement(&mut self) -> Result<Statement, Error> {
        let line = self.line();
        let name = self.expect_name()?;
        let kind = match &*name {
            "if" => self.if_statement()?,
            "for" => self.for_statement()?,
            "set" => self.set_statement()?,
            "macro" => self.macro_statement()?,
            "call" => self.call_statement()?,
            "filter" => {
                let filters = self.filters(true)?;
                let (body, _) = self.inner(&["endfilter"], false)?;
                StatementKind::Filter(filters, body)
            }
            "with" => self.with_statement()?,
            "generation" => {
                let loops = std::mem::take(&mut self.loops);
                let body = self.inner(&["endgeneration"], false);
                self.loops = loops;
                StatementKind::Scope(body?.0)
            }
            "block" => self.block_statement()?,
            "print" => StatementKind::Print(self.tuple(true, &[])?),
            "break" | "continue" if self.loops == 0 => {
                return Err(Error::syntax(format!("`{name}` outside of a loop"), line));
            }
            "break" => StatementKind::Break,
            "continue" => StatementKind::Continue,
            "include" | "import" | "from" | "extends" => {
                while !matches!(self.peek(), Kind::BlockEnd | Kind::End) {
                    self.advance();
                }
                StatementKind::Refuse("there is no other template to load")
            }
            "autoescape" => {
                self.expression(true)?;
                let (body, _) = self.inner(&["endautoescape"], false)?;
                drop(body);
                StatementKind::Refuse("`autoescape` is not supported")
            }
            _ => return Err(Error::syntax(format!("unknown statement `{name}`"), line)),
        };
        Ok(Statement { line, kind })
    }

    fn if_statement(&mut self) -> Result<StatementKind, Error> {
        let mut branches = Vec::new();
        loop {
            let outer = std::mem::replace(&mut self.soft, true);
            let condition = self.tuple(false, &[]);
            self.soft = outer;
            let condition = condition?;
            let (body, end) = self.inner(&["elif", "else", "endif"], true)?;
            branches.push((condition, body));
            match end.as_str() {
                "elif" => {}
                "else" => {
                    let (otherwise, _) = self.inner(&["endif"], true)?;
                    return Ok(StatementKind::If(branches, otherwise));
                }
                _ => return Ok(StatementKind::If(branches, Vec::new())),
            }
        }
    }

    fn for_statement(&mut self) -> Result<StatementKind, Error> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("`in`"));
        }
        let iterable = self.tuple(false, &["recursive"])?;
        let condition = if self.skip_name("if") {
            Some(self.expression(true)?)
        } else {
            None
        };
        let recursive = self.skip_name("recursive");
        self.loops += 1;
        let inner = self.inner(&["endfor", "else"], false);
        self.loops -= 1;
        let (body, end) = inner?;
        let otherwise = if end == "else" {
            self.inner(&["endfor"], false)?.0
        } else {
            Vec::new()
        };
        Ok(StatementKind::For(Arc::new(For {
            target,
            iterable,
            condition,
            recursive,
            body,
            otherwise,
        })))
    }

    fn set_statement(&mut self) -> Result<StatementKind, Error> {
        let target = self.target(true)?;
        if self.skip_operator("=") {
            return Ok(StatementKind::Set(target, self.tuple(true, &[])?));
        }
        let filters = self.filters(false)?;
        let (body, _) = self.inner(&["endset"], false)?;
        Ok(StatementKind::SetBlock(target, filters, body))
    }

    fn macro_statement(&mut self) -> Result<StatementKind, Error> {
        let name = self.assignable_name()?;
        Ok(StatementKind::Macro(
            self.macro_body(name, true, "endmacro", |_| Ok(()))?.0,
        ))
    }

    fn call_statement(&mut self) -> Result<StatementKind, Error> {
        let line = self.line();
        let signature = self.is_operator("(");
        let (definition, call) =
            self.macro_body("caller".into(), signature, "endcall", |parser| {
                let call = parser.expression(true)?;
                let is_call = matches!(&call, Expression::Postfix(_, suffixes)
                if matches!(suffixes.last().map(|s| &s.kind), Some(SuffixKind::Call(_))));
                if is_call {
                    Ok(call)
                } else {
                    Err(Error::syntax("`call` needs a call", line))
                }
            })?;
        Ok(StatementKind::Call(definition, call))
    }

    fn macro_body<T>(
        &mut self,
        name: Arc<str>,
        signature: bool,
        end: &str,
        head: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<(Arc<Macro>, T), Error> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        if signature {
            self.expect_operator("(")?;
            while !self.is_operator(")") {
                if !parameters.is_empty() {
                    self.expect_operator(",")?;
                }
                parameters.push(self.assignable_name()?);
                if self.skip_operator("=") {
                    defaults.push(self.expression(true)?);
                } else if !defaults.is_empty() {
                    return Err(
                        self.error("a parameter without a default follows one that has a default")
                    );
                }
            }
            self.expect_operator(")")?;
        }
        let head = head(self)?;
        let loops = std::mem::take(&mut self.loops);
        self.uses.push(Uses::default());
        let body = self.inner(&[end], false);
        let uses = self.uses.pop().unwrap_or_default();
        self.loops = loops;
        let (body, _) = body?;
        Ok((
            Arc::new(Macro {
                name,
                parameters,
                defaults,
                body,
                uses,
            }),
            head,
        ))
    }

    fn with_statement(&mut self) -> Result<StatementKind, Error> {
        let mut assignments = Vec::new();
        while !matches!(self.peek(), Kind::BlockEnd | Kind::End) {
            if !assignments.is_empty() {
                self.expect_operator(",")?;
            }
            let target = self.target(false)?;
            self.expect_operator("=")?;
            assignments.push((target, self.expression(true)?));
        }
        let (body, _) = self.inner(&["endwith"], false)?;
        Ok(StatementKind::With(assignments, body))
    }

    fn block_statement(&mut self) -> Result<StatementKind, Error> {
        let name = self.expect_name()?;
        self.skip_name("scoped");
        if self.skip_name("required") {
            return Err(self.error("required blocks need another template"));
        }
        let loops = std::mem::take(&mut self.loops);
        let body = self.inner(&["endblock"], false);
        self.loops = loops;
        let (body, _) = body?;
        self.skip_name(&name);
        Ok(StatementKind::Scope(body))
    }

    /// `| filter | filter(…)`. With `inline`, the first needs no `|`.
    fn filters(&mut self, mut inline: bool) -> Result<Vec<Suffix>, Error> {
        let mut filters = Vec::new();
        while inline || self.is_operator("|") {
            if !inline {
                self.advance();
            }
            inline = false;
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    fn assignable_name(&mut self) -> Result<Arc<str>, Error> {
        let name = self.expect_name()?;
        if is_constant(&name) {
            return Err(self.error(format!("`{name}` can't be assigned to")));
        }
        Ok(name)
    }

    /// The target of `for`, `set` and `with`.
    fn target(&mut self, with_namespace: bool) -> Result<Target, Error> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            let ends = self.is_name("in") || self.is_operator(")") || self.is_operator("=");
            if ends && (is_tuple || targets.is_empty()) {
                break;
            }
            targets.push(self.simple_target(with_namespace)?);
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
        }
        match targets.pop() {
            None => Err(self.unexpected("a name")),
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                targets.push(last);
                Ok(Target::Tuple(targets))
            }
        }
    }

    fn simple_target(&mut self, with_namespace: bool) -> Result<Target, Error> {
        if self.skip_operator("(") {
            let target = self.nest(|parser| parser.target(false))?;
            self.expect_operator(")")?;
            return Ok(target);
        }
        let name = self.assignable_name()?;
        if with_namespace && self.skip_operator(".") {
            return Ok(Target::Attribute(name, self.expect_name()?));
        }
        Ok(Target::Name(name))
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
