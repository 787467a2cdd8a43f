//! Scopes: names with their values.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::value::Value;

/// Names with their values, and the scope around them.
pub(super) struct Scope {
    pub values: RefCell<Vec<(Arc<str>, Value)>>,
    pub parent: Option<Rc<Scope>>,
}

impl Scope {
    pub fn new(parent: Option<Rc<Scope>>) -> Rc<Self> {
        Rc::new(Self {
            values: RefCell::default(),
            parent,
        })
    }

    /// The value of a name here or in the scopes around, and how many names it was compared with.
    pub fn find(&self, name: &str) -> (Option<Value>, usize) {
        let mut scope = self;
        let mut compared = 0;
        loop {
            let values = scope.values.borrow();
            compared += 1 + values.len();
            if let Some((_, value)) = values.iter().find(|(found, _)| **found == *name) {
                return (Some(value.clone()), compared);
            }
            match scope.parent.as_deref() {
                Some(parent) => scope = parent,
                None => return (None, compared),
            }
        }
    }

    /// Sets a name here. Returns the number of names it was compared with.
    pub fn set(&self, name: &Arc<str>, value: Value) -> usize {
        let mut values = self.values.borrow_mut();
        match values.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => values.push((name.clone(), value)),
        }
        values.len()
    }
}
