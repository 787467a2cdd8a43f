//! Every loop of every kernel ends by a counter: kernels run without the checks that would end
//! them.
//!
//! A loop has a variable that only its `continuing` block changes, by one addition, subtraction or
//! shift, and an `if` at the level of the body that leaves the loop by a condition on that
//! variable.

use std::collections::HashSet;

use godwit_tests::translate;
use naga::valid::Capabilities;
use naga::{
    BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, Module, Statement,
};

/// The blocks inside a statement.
fn blocks(statement: &Statement) -> Vec<&Block> {
    match statement {
        Statement::Block(block) => vec![block],
        Statement::If { accept, reject, .. } => vec![accept, reject],
        Statement::Switch { cases, .. } => cases.iter().map(|case| &case.body).collect(),
        Statement::Loop {
            body, continuing, ..
        } => vec![body, continuing],
        _ => Vec::new(),
    }
}

/// All statements of a block, those of blocks inside it too.
fn statements(block: &Block) -> Vec<&Statement> {
    let inside = |statement| {
        blocks(statement)
            .into_iter()
            .flat_map(statements)
            .collect::<Vec<_>>()
    };
    block
        .iter()
        .flat_map(|statement| [vec![statement], inside(statement)].concat())
        .collect()
}

/// A function with what is asked of it here.
struct Body<'a> {
    function: &'a Function,
    all: Vec<&'a Statement>,
}

impl<'a> Body<'a> {
    fn new(function: &'a Function) -> Self {
        Self {
            function,
            all: statements(&function.body),
        }
    }

    /// The variable that a pointer leads into.
    fn variable(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(variable) => Some(variable),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => {
                self.variable(base)
            }
            _ => None,
        }
    }

    /// The variables that a value is computed from.
    fn variables(&self, value: Handle<Expression>, found: &mut HashSet<Handle<LocalVariable>>) {
        let mut each = |values: &[Handle<Expression>]| {
            values
                .iter()
                .for_each(|&value| self.variables(value, found))
        };
        match &self.function.expressions[value] {
            Expression::Load { pointer } => {
                if let Some(variable) = self.variable(*pointer)
                    && found.insert(variable)
                {
                    self.conjunction(variable)
                        .iter()
                        .for_each(|&part| self.variables(part, found));
                }
            }
            Expression::Binary { left, right, .. } => each(&[*left, *right]),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => each(&[*expr]),
            Expression::Math {
                arg, arg1, arg2, ..
            } => {
                each(
                    &[Some(*arg), *arg1, *arg2]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>(),
                );
            }
            Expression::Select {
                condition,
                accept,
                reject,
            } => each(&[*condition, *accept, *reject]),
            Expression::CallResult(_) => {
                let arguments = self.all.iter().find_map(|statement| match statement {
                    Statement::Call {
                        arguments, result, ..
                    } if *result == Some(value) => Some(arguments),
                    _ => None,
                });
                each(arguments.map_or(&[], |arguments| arguments));
            }
            _ => {}
        }
    }

    /// The two values whose conjunction a variable is: naga computes `a && b` as
    /// `if a { v = b } else { v = false }`. Nothing for other variables.
    fn conjunction(&self, variable: Handle<LocalVariable>) -> Vec<Handle<Expression>> {
        let stored = |block: &Block| match block.last() {
            Some(Statement::Store { pointer, value })
                if self.variable(*pointer) == Some(variable) =>
            {
                Some(*value)
            }
            _ => None,
        };
        let is_false = |value| {
            matches!(
                self.function.expressions[value],
                Expression::Literal(Literal::Bool(false))
            )
        };
        let both = self.all.iter().find_map(|statement| match statement {
            Statement::If {
                condition,
                accept,
                reject,
            } if stored(reject).is_some_and(is_false) => Some(vec![*condition, stored(accept)?]),
            _ => None,
        });
        both.unwrap_or_default()
    }

    /// How a `continuing` block changes a variable, where it is by a step that brings it on.
    fn steps(&self, value: Handle<Expression>, variable: Handle<LocalVariable>) -> bool {
        let is_own = |value| match self.function.expressions[value] {
            Expression::Load { pointer } => self.variable(pointer) == Some(variable),
            _ => false,
        };
        let is_zero = |value| {
            matches!(
                self.function.expressions[value],
                Expression::Literal(Literal::U32(0) | Literal::I32(0))
            )
        };
        use BinaryOperator::{Add, ShiftLeft, ShiftRight, Subtract};
        match self.function.expressions[value] {
            Expression::Binary {
                op: Add | Subtract | ShiftLeft | ShiftRight,
                left,
                right,
            } => is_own(left) && !is_zero(right),
            _ => false,
        }
    }

    /// What is wrong with a loop; none where it ends by a counter.
    fn check(
        &self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> Result<(), String> {
        let mut counters = HashSet::new();
        for statement in statements(continuing) {
            if let Statement::Store { pointer, value } = statement
                && let Some(variable) = self.variable(*pointer)
                && self.steps(*value, variable)
            {
                counters.insert(variable);
            }
        }
        // Whatever else may write to one makes it no counter.
        for statement in statements(body) {
            match statement {
                Statement::Store { pointer, .. } => {
                    self.variable(*pointer)
                        .map(|variable| counters.remove(&variable));
                }
                Statement::Call { arguments, .. } => {
                    for &argument in arguments {
                        self.variable(argument)
                            .map(|variable| counters.remove(&variable));
                    }
                }
                _ => {}
            }
        }
        let mut ends = break_if.into_iter().collect::<Vec<_>>();
        for statement in body.iter().flat_map(|statement| match statement {
            Statement::Block(block) => block.iter().collect(),
            other => vec![other],
        }) {
            if let Statement::If {
                condition,
                accept,
                reject,
            } = statement
                && [accept, reject]
                    .iter()
                    .any(|block| matches!(block.last(), Some(Statement::Break)))
            {
                ends.push(*condition);
            }
        }
        for end in ends {
            let mut variables = HashSet::new();
            self.variables(end, &mut variables);
            if variables.iter().any(|variable| counters.contains(variable)) {
                return Ok(());
            }
        }
        Err("a loop does not end by a counter that only its head changes".into())
    }
}

/// How many loops a module has.
///
/// # Errors
/// One of them may not end.
fn check_loops(module: &Module) -> Result<usize, String> {
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    let mut count = 0;
    for function in module
        .functions
        .iter()
        .map(|(_, function)| function)
        .chain(entries)
    {
        let all = Body::new(function);
        for statement in &all.all {
            if let Statement::Loop {
                body,
                continuing,
                break_if,
            } = statement
            {
                let name = function.name.as_deref().unwrap_or("the entry point");
                all.check(body, continuing, *break_if)
                    .map_err(|error| format!("{name}: {error}"))?;
                count += 1;
            }
        }
    }
    Ok(count)
}

#[test]
fn every_loop_ends_by_a_counter() {
    let mut count = 0;
    for (kernel, variant, format) in translate::variants() {
        let label = translate::label(kernel, variant, format);
        let (module, _) = translate::module(kernel, variant, format).expect("valid");
        count += check_loops(&module).unwrap_or_else(|error| unreachable!("{label}: {error}"));
    }
    assert!(count > 500, "{count} loops");
}

#[test]
fn loops_that_may_not_end_are_found() {
    let outcome = |statements: &str| {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
            fn less(a: u32, b: u32) -> bool {{ return a < b; }}
            fn back(i: ptr<function, u32>) {{ *i = 0u; }}
            @compute @workgroup_size(8)
            fn main(@builtin(local_invocation_index) lane: u32) {{
                var sum = 0u;
                {statements}
                out[lane] = sum;
            }}"
        );
        check_loops(
            &translate::parsed(&source, Capabilities::empty())
                .expect("valid")
                .0,
        )
    };
    for ends in [
        "for (var i = lane; i < 9u; i += 2u) { sum += i; }",
        "for (var i = 128u; i > 0u; i >>= 1u) { sum += i; }",
        "for (var i = 0u; i < out[1] && sum < 7u; i++) { sum += i; }",
        "for (var i = 0u; less(i, out[1]); i++) { sum += i; }",
        "for (var i = 28u; ; i -= 2u) { sum += i; if i == 0u { break; } }",
    ] {
        assert_eq!(outcome(ends), Ok(1), "{ends}");
    }
    for may_not_end in [
        "loop { sum += 1u; if out[0] == 1u { break; } }",
        "for (var i = 0u; i < 9u; i += 0u) { sum += i; }",
        "for (var i = 0u; i < 9u; i++) { if sum == 3u { i = 0u; } sum += i; }",
        "for (var i = 0u; i < 9u; i++) { back(&i); }",
        "for (var i = 0u; i < 9u; i = out[i]) { sum += i; }",
        "for (var i = 0u; sum < 9u; i++) { sum = out[i]; }",
        "while sum < 9u { sum = out[sum]; }",
        "for (var i = 0u; i < 9u || sum < 9u; i++) { sum = out[i]; }",
    ] {
        assert!(outcome(may_not_end).is_err(), "{may_not_end}");
    }
}
