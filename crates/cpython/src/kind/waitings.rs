//! What `wait()` keeps while it waits, as an object.

use std::cell::Cell;

use pyo3::types::DerefToPyAny;
use pyo3::{PyTypeInfo, Python, ffi};

use crate::kind::{Kind, Shared};
use crate::slot::Slot;

/// Marks what `wait()` keeps while it waits.
pub enum Waiting {}

/// Its struct.
#[repr(C)]
pub struct WaitingFields {
    head: ffi::PyObject,
    /// The set of futures.
    pub futures: Slot,
    /// The future that the caller awaits.
    pub waiter: Slot,
    /// The timer, if there is one.
    pub timeout: Slot,
    /// The context in which the callbacks run.
    pub context: Slot,
    /// The callable that stands for it among a future's callbacks where Python looks; made when
    /// somebody does.
    pub callable: Slot,
    /// The task that waits, since 3.14; empty if there is none.
    pub task: Slot,
    /// How many futures are not known to be done.
    pub left: Cell<usize>,
    /// Which of them are enough: the numbers are the host's.
    pub return_when: Cell<u8>,
}

static SHARED: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields, on `object`; every
// field is valid as zero bits.
unsafe impl Kind for Waiting {
    type Fields = WaitingFields;

    fn shared() -> &'static Shared {
        &SHARED
    }

    #[inline]
    fn each_slot(fields: &WaitingFields, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &fields.futures,
            &fields.waiter,
            &fields.timeout,
            &fields.context,
            &fields.callable,
            &fields.task,
        ] {
            visit(slot);
        }
    }

    #[inline]
    fn needs_finalizer(_fields: &WaitingFields) -> bool {
        false
    }
}

// SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type object
// is made before any object is.
unsafe impl PyTypeInfo for Waiting {
    fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
        SHARED.type_object()
    }
}

impl DerefToPyAny for Waiting {}
