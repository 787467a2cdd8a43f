//! Handles: numbers that stand for objects, each with a generation, so that one that was closed
//! never means another object.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use godwit::scheduler::{RequestId, SequenceId};

use crate::entries::{EngineEntry, ModelEntry, SchedulerEntry};
use crate::status::{Failure, Outcome, godwit_status};

/// An object that a handle stands for.
#[derive(Clone)]
pub(crate) enum Object {
    Model(Arc<ModelEntry>),
    Engine(Arc<EngineEntry>),
    Scheduler(Arc<SchedulerEntry>),
    Sequence(Arc<SchedulerEntry>, SequenceId),
    Request(Arc<SchedulerEntry>, RequestId),
}

impl Object {
    /// The scheduler that it is or belongs to.
    fn scheduler(&self) -> Option<&Arc<SchedulerEntry>> {
        match self {
            Self::Model(_) | Self::Engine(_) => None,
            Self::Scheduler(entry) | Self::Sequence(entry, _) | Self::Request(entry, _) => {
                Some(entry)
            }
        }
    }
}

struct Slot {
    /// The generation of the object that is in it, or of the next one. 0: it is used up.
    generation: u32,
    object: Option<Object>,
}

struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// No operation on it panics, waits, or drops an object while it is locked.
static TABLE: Mutex<Table> = Mutex::new(Table {
    slots: Vec::new(),
    free: Vec::new(),
});

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handle_of(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

impl Table {
    fn slot(&mut self, handle: u64) -> Option<&mut Slot> {
        let (index, generation) = (handle as u32, (handle >> 32) as u32);
        let slot = self.slots.get_mut(index as usize)?;
        (generation != 0 && slot.generation == generation && slot.object.is_some()).then_some(slot)
    }

    fn take(&mut self, handle: u64) -> Option<Object> {
        let slot = self.slot(handle)?;
        let object = slot.object.take();
        slot.generation = slot.generation.wrapping_add(1);
        if slot.generation != 0 {
            self.free.push(handle as u32);
        }
        object
    }
}

/// A handle for an object.
pub(crate) fn insert(object: Object) -> Outcome<u64> {
    let mut table = table();
    if let Some(index) = table.free.pop() {
        let slot = &mut table.slots[index as usize];
        slot.object = Some(object);
        return Ok(handle_of(index, slot.generation));
    }
    let Ok(index) = u32::try_from(table.slots.len()) else {
        let message = "there are 2^32 handles; close what is not needed";
        return Err(Failure::new(godwit_status::GODWIT_ERROR, message));
    };
    table.slots.push(Slot {
        generation: 1,
        object: Some(object),
    });
    Ok(handle_of(index, 1))
}

/// The object of a handle.
pub(crate) fn get(handle: u64) -> Option<Object> {
    table().slot(handle)?.object.clone()
}

/// Takes an object out: its handle means nothing any more.
pub(crate) fn remove(handle: u64) {
    let object = table().take(handle);
    drop(object);
}

/// Takes a scheduler out, and all that belongs to it.
pub(crate) fn remove_scheduler(entry: &Arc<SchedulerEntry>) {
    let mut removed = Vec::new();
    let mut table = table();
    for index in 0..table.slots.len() {
        let slot = &table.slots[index];
        let of = slot.object.as_ref().and_then(Object::scheduler);
        if of.is_some_and(|of| Arc::ptr_eq(of, entry)) {
            let handle = handle_of(index as u32, slot.generation);
            removed.push(table.take(handle));
        }
    }
    drop(table);
    drop(removed);
}

/// The scheduler that a handle is of.
pub(crate) fn scheduler_of(handle: u64) -> Option<Arc<SchedulerEntry>> {
    get(handle)?.scheduler().cloned()
}

fn wrong(kind: &str, handle: u64) -> Failure {
    let message = match handle {
        0 => format!("the handle of the {kind} is 0"),
        _ => format!("{handle:#x} is no {kind}; it may have been closed, or is of another kind"),
    };
    Failure::new(godwit_status::GODWIT_BAD_HANDLE, message)
}

/// The model of a handle.
pub(crate) fn model(handle: u64) -> Outcome<Arc<ModelEntry>> {
    match get(handle) {
        Some(Object::Model(model)) => Ok(model),
        _ => Err(wrong("model", handle)),
    }
}

/// The engine of a handle.
pub(crate) fn engine(handle: u64) -> Outcome<Arc<EngineEntry>> {
    match get(handle) {
        Some(Object::Engine(engine)) => Ok(engine),
        _ => Err(wrong("engine", handle)),
    }
}

/// The scheduler of a handle.
pub(crate) fn scheduler(handle: u64) -> Outcome<Arc<SchedulerEntry>> {
    match get(handle) {
        Some(Object::Scheduler(scheduler)) => Ok(scheduler),
        _ => Err(wrong("scheduler", handle)),
    }
}

/// The sequence of a handle, with its scheduler.
pub(crate) fn sequence(handle: u64) -> Outcome<(Arc<SchedulerEntry>, SequenceId)> {
    match get(handle) {
        Some(Object::Sequence(scheduler, sequence)) => Ok((scheduler, sequence)),
        _ => Err(wrong("sequence", handle)),
    }
}

/// The object of a handle that `godwit_cancel` takes.
pub(crate) fn cancellable(handle: u64) -> Outcome<Object> {
    match get(handle) {
        Some(Object::Engine(_) | Object::Sequence(..)) | None => {
            Err(wrong("request, scheduler or model", handle))
        }
        Some(object) => Ok(object),
    }
}
