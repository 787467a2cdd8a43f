//! Parses statements: everything between `{%` and `%}`.

use std::sync::Arc;

use super::ast::{
    Expression, For, Macro, Statement, StatementKind, Suffix, SuffixKind, Target, Uses,
};
use super::error::Error;
use super::lexer::Kind;
use super::parser::{Parser, is_constant};

impl Parser {
    pub fn statement(&mut self) -> Result<Statement, Error> {
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
