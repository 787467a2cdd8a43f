//! A template as a tree.
//!
//! Chains of operators, filters and calls are lists, so that a long chain is not a deep tree.

use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Statement {
    pub line: u32,
    pub kind: StatementKind,
}

pub(super) type Body = Vec<Statement>;

#[derive(Debug)]
pub(super) enum StatementKind {
    Text(Arc<str>),
    Print(Expression),
    /// Conditions with their bodies, and the body of `else`.
    If(Vec<(Expression, Body)>, Body),
    For(Arc<For>),
    Set(Target, Expression),
    /// `{% set name | filters %}…{% endset %}`.
    SetBlock(Target, Vec<Suffix>, Body),
    Macro(Arc<Macro>),
    /// `{% call(parameters) function(…) %}…{% endcall %}`; the macro is `caller`.
    Call(Arc<Macro>, Expression),
    Filter(Vec<Suffix>, Body),
    With(Vec<(Target, Expression)>, Body),
    /// `{% generation %}` and `{% block %}`: a body whose assignments stay inside.
    Scope(Body),
    Break,
    Continue,
    /// A statement that needs other templates.
    Refuse(&'static str),
}

#[derive(Debug)]
pub(super) struct For {
    pub target: Target,
    pub iterable: Expression,
    pub condition: Option<Expression>,
    pub recursive: bool,
    pub body: Body,
    pub otherwise: Body,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub name: Arc<str>,
    pub parameters: Vec<Arc<str>>,
    /// Those of the last parameters.
    pub defaults: Vec<Expression>,
    pub body: Body,
    pub uses: Uses,
}

/// The special names that a macro's body reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    pub caller: bool,
    pub kwargs: bool,
    pub varargs: bool,
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    /// `namespace.attribute`.
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(super) enum Expression {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    /// Left-associative operators of one precedence.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
    Concat(Vec<Expression>),
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Positive(Box<Expression>),
    Conditional(Box<Conditional>),
    Postfix(Box<Expression>, Vec<Suffix>),
}

#[derive(Debug)]
pub(super) struct Conditional {
    pub condition: Expression,
    pub then: Expression,
    pub otherwise: Option<Expression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

/// A suffix of a value: `.name`, `[item]`, `(…)`, `| filter` or `is test`.
#[derive(Debug)]
pub(super) struct Suffix {
    pub line: u32,
    pub kind: SuffixKind,
}

#[derive(Debug)]
pub(super) enum SuffixKind {
    Attribute(Arc<str>),
    Item(Expression),
    Slice(Box<[Option<Expression>; 3]>),
    Call(Arguments),
    Filter(Arc<str>, Arguments),
    Test {
        name: Arc<str>,
        arguments: Arguments,
        negated: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub positional: Vec<Expression>,
    pub keywords: Vec<(Arc<str>, Expression)>,
    /// `*list`.
    pub more_positional: Option<Box<Expression>>,
    /// `**dict`.
    pub more_keywords: Option<Box<Expression>>,
}
