//! What `shield()` puts among the callbacks of its two futures, as an object.

use std::cell::Cell;

use pyo3::ffi;

use crate::slot::Slot;

/// Marks what `shield()` puts among the callbacks of its two futures.
pub enum Shield {}

/// Which of the callbacks of `shield()` one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// In the inner future: the outer one gets its outcome.
    Inner = 0,
    /// In the outer future: the inner one need not tell it any more.
    Outer,
    /// In the inner future: the caller of `shield()` awaits it no longer.
    #[cfg(Py_3_14)]
    Caller,
}

/// Its struct.
#[repr(C)]
pub struct ShieldFields {
    head: ffi::PyObject,
    /// The future that is shielded.
    pub inner: Slot,
    /// The future that `shield()` gave; empty in who tells of the caller.
    pub outer: Slot,
    /// In the outer future: what stands in the inner one. In that: who tells of the caller, if
    /// there is one.
    pub twin: Slot,
    /// In who tells of the caller: the task that called.
    pub waiter: Slot,
    /// The context in which the callbacks run.
    pub context: Slot,
    /// A weak reference to the callable that stands for it where Python looks.
    pub callable: Slot,
    /// Which of them it is.
    pub role: Cell<Role>,
}

impl ShieldFields {
    /// It has neither.
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = [0; 2];

    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in
            [&self.inner, &self.outer, &self.twin, &self.waiter, &self.context, &self.callable]
        {
            visit(slot);
        }
    }
}

kinds!(ShieldFields: Shield in SHIELD);
