//! The budget of a template: steps, depth and time.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::interpreter::Interpreter;
use super::value::{Extent, Scope, Value};

/// Bytes of a string that cost one step.
const BYTES_PER_STEP: usize = 8;

/// Steps of an item that is kept in a list: 32 bytes, as `BYTES_PER_STEP` has it.
pub(super) const STEPS_PER_ITEM: usize = 4;

/// Steps of a string besides its bytes.
pub(super) const STEPS_PER_STRING: usize = 3;

/// Steps of a part of a string that is kept in a list.
pub(super) const STEPS_PER_PART: usize = STEPS_PER_ITEM + STEPS_PER_STRING;

/// Calls of macros, recursive loops and lazy sequences inside each other.
const MAX_CALLS: u32 = 64;

/// Statements and expressions inside each other, over all calls: what the stack must hold.
const MAX_NESTING: u32 = 400;

/// Steps between two looks at the clock: about a millisecond.
pub(super) const STEPS_PER_LOOK: u64 = 1 << 14;

/// Levels of lists and dictionaries inside each other.
const MAX_DEPTH: u32 = 160;

/// The limits of a template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Steps; a step is an operation, an item, or a few bytes of a string.
    pub fuel: u64,
    /// Bytes of output.
    pub output: usize,
    /// Time to run. The last defence: it counts where something costs more than its steps.
    pub time: Duration,
}

impl Interpreter<'_> {
    pub fn charge(&mut self, steps: usize) -> Result<(), Error> {
        let left = self.fuel.checked_sub(steps as u64);
        self.fuel = left.unwrap_or(0);
        if left.is_none() {
            return Err(Error::fuel());
        }
        match self.look.checked_sub(steps as u64) {
            Some(look) => self.look = look,
            None => {
                self.look = STEPS_PER_LOOK;
                if self.started.elapsed() > self.max_time {
                    return Err(Error::time(self.max_time));
                }
            }
        }
        Ok(())
    }

    /// Pays for a string, before it is made.
    pub fn charge_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.charge(1 + bytes / BYTES_PER_STEP)
    }

    /// Pays for a list, before it is made.
    pub fn charge_items(&mut self, items: usize) -> Result<(), Error> {
        self.charge(items.saturating_mul(STEPS_PER_ITEM))
    }

    /// Pays for comparing a name with `count` others.
    pub fn charge_names(&mut self, name: &str, count: usize) -> Result<(), Error> {
        self.charge(count.saturating_mul(8 + name.len()) / 64)
    }

    /// Pays for a search in a string. A long needle costs even where the string is short.
    pub fn charge_search(&mut self, text: &str, part: &str) -> Result<(), Error> {
        self.charge_bytes(text.len().saturating_add(part.len().saturating_mul(2)))
    }

    /// An undefined value, whose message is paid for. Names in the message must be cut.
    pub fn undefined(&mut self, message: String) -> Result<Value, Error> {
        self.charge_bytes(message.len())?;
        Ok(Value::undefined(message))
    }

    /// The value of a name.
    pub fn lookup(&mut self, scope: &Scope, name: &str) -> Result<Option<Value>, Error> {
        let (value, compared) = scope.find(name);
        self.charge_names(name, compared)?;
        Ok(value)
    }

    /// Sets a name in a scope.
    pub fn set(&mut self, scope: &Scope, name: &Arc<str>, value: Value) -> Result<(), Error> {
        let compared = scope.set(name, value);
        self.charge_names(name, compared)
    }

    /// Bytes that can still be paid for.
    pub fn bytes_left(&self) -> usize {
        usize::try_from(self.fuel)
            .unwrap_or(usize::MAX)
            .saturating_mul(BYTES_PER_STEP)
    }

    /// Runs something that may call itself.
    pub fn nested<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.calls == MAX_CALLS {
            return Err(Error::failed(format!(
                "more than {MAX_CALLS} calls inside each other"
            )));
        }
        self.calls += 1;
        let result = run(self);
        self.calls -= 1;
        result
    }

    /// Runs a statement's body or an expression, one level deeper.
    pub fn deeper<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.nesting == MAX_NESTING {
            return Err(Error::failed(format!(
                "more than {MAX_NESTING} statements and expressions inside each other"
            )));
        }
        self.nesting += 1;
        let result = run(self);
        self.nesting -= 1;
        result
    }

    /// Pays for Python's `repr` of a value, where each byte may become an escape of four.
    pub fn charge_repr(&mut self, value: &Value) -> Result<(), Error> {
        self.charge_bytes(value.extent().bytes.saturating_mul(4))
    }
}

/// Refuses a value too deep to be walked through, or dropped, on a small stack.
pub(super) fn check_depth(extent: Extent) -> Result<(), Error> {
    if extent.depth > MAX_DEPTH {
        return Err(Error::failed(format!(
            "more than {MAX_DEPTH} levels of lists and dictionaries"
        )));
    }
    Ok(())
}
