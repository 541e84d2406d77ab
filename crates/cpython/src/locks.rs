//! The structs of our synchronization primitives and of queues.

use std::cell::Cell;

use pyo3::types::PyAny;
use pyo3::{Bound, ffi};

use crate::kind::kinds;
use crate::number::Number;
use crate::slot::Slot;

/// A lock, an event, a condition or a semaphore.
#[repr(C)]
pub struct LockFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_loop`: where its waiters live; empty before the first.
    pub event_loop: Slot,
    /// `_waiters`: a deque of futures; empty for None.
    pub waiters: Slot,
    /// `_value` of a semaphore; of a lock and an event, whether it is locked or set.
    pub value: Number,
    /// `_bound_value` of a semaphore that has one.
    pub bound: Number,
    /// Whether somebody has set a method of its own on it.
    pub is_patched: Cell<bool>,
}

impl LockFields {
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// `_lock` of a condition, which has no number to keep.
    #[inline]
    pub fn lock(&self) -> &Slot {
        self.value.beside()
    }

    /// Every slot.
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [&self.event_loop, &self.waiters, self.value.beside(), self.bound.beside()] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// Marks a lock.
pub enum Lock {}
/// Marks an event.
pub enum Event {}
/// Marks a condition.
pub enum Condition {}
/// Marks an object laid out as a semaphore, a bounded one included.
pub enum Semaphore {}
/// Marks a semaphore that has a bound.
pub enum BoundedSemaphore {}

/// A queue.
#[repr(C)]
pub struct QueueFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_loop`: where its waiters live; empty before the first.
    pub event_loop: Slot,
    /// `_maxsize`.
    pub maxsize: Slot,
    /// `_queue`: the items; empty where a subclass keeps them elsewhere.
    pub items: Slot,
    /// `_getters`: a deque of the futures of who waits for an item.
    pub getters: Slot,
    /// `_putters`: a deque of the futures of who waits for room.
    pub putters: Slot,
    /// `_finished`: the event that `join()` waits for.
    pub finished: Slot,
    /// `_unfinished_tasks`.
    pub unfinished: Number,
    /// How many items there is room for, where `_maxsize` is a plain number; none if without end.
    pub room: Cell<i64>,
    /// `_is_shutdown`.
    pub is_shut_down: Cell<bool>,
    /// Whether somebody has set a method of its own on it.
    pub is_patched: Cell<bool>,
}

impl QueueFields {
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// Every slot.
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.event_loop,
            &self.maxsize,
            &self.items,
            &self.getters,
            &self.putters,
            &self.finished,
            self.unfinished.beside(),
        ] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// Marks a queue.
pub enum Queue {}

kinds!(LockFields:
    Lock in LOCK,
    Event in EVENT,
    Condition in CONDITION,
    Semaphore in SEMAPHORE,
    BoundedSemaphore in BOUNDED_SEMAPHORE
);
kinds!(QueueFields: Queue in QUEUE);

/// A bounded semaphore as the semaphore that it is.
#[inline]
pub fn as_semaphore<'a, 'py>(
    bounded: &'a Bound<'py, BoundedSemaphore>,
) -> &'a Bound<'py, Semaphore> {
    let object: &Bound<'py, PyAny> = bounded.as_any();
    // SAFETY: both have the same fields, and the type of one derives from the other's.
    unsafe { object.cast_unchecked() }
}
