//! The future that `gather()` gives, as an object.

use std::cell::Cell;

use pyo3::types::DerefToPyAny;
use pyo3::{Bound, PyTypeInfo, Python, ffi};

use crate::kind::{Future, Kind, Shared};
use crate::layout::FutureFields;
use crate::slot::Slot;

/// Marks the future that `gather()` gives.
pub enum Gathering {}

/// A future's struct, and behind it what it knows of its children.
#[repr(C)]
pub struct GatheringFields {
    future: FutureFields,
    /// `_children`: the list of futures, in the order of the arguments; empty until all are made.
    pub children: Slot,
    /// The context in which the callbacks of the children run.
    pub context: Slot,
    /// The callable that stands for it among a child's callbacks where Python looks; made when
    /// somebody does.
    pub callable: Slot,
    /// The task that called `gather()`, since 3.14; empty if there was none.
    pub waiter: Slot,
    /// How many different children there are that have not told yet that they are done.
    pub left: Cell<usize>,
    /// `return_exceptions`.
    pub returns_exceptions: Cell<bool>,
    /// `_cancel_requested`: whether `cancel()` has cancelled a child.
    pub cancel_requested: Cell<bool>,
}

impl GatheringFields {
    /// The part that it shares with every future.
    #[inline]
    pub fn future(&self) -> &FutureFields {
        &self.future
    }

    /// Every slot.
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        self.future.each_slot(visit);
        for slot in [&self.children, &self.context, &self.callable, &self.waiter] {
            visit(slot);
        }
    }
}

static SHARED: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields, on our `Future`, with
// whose struct they begin; every field is valid as zero bits.
unsafe impl Kind for Gathering {
    type Fields = GatheringFields;

    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = FutureFields::DICT_AND_WEAKREFS;

    fn shared() -> &'static Shared {
        &SHARED
    }

    #[inline]
    fn each_slot(fields: &GatheringFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &GatheringFields) -> bool {
        fields.future.log_traceback()
    }
}

// SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type object
// is made before any object is.
unsafe impl PyTypeInfo for Gathering {
    fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
        SHARED.type_object()
    }
}

impl DerefToPyAny for Gathering {}

/// What `gather()` gives, as the future that it is.
#[inline]
pub fn as_future<'a, 'py>(gathering: &'a Bound<'py, Gathering>) -> &'a Bound<'py, Future> {
    // SAFETY: its struct begins with a future's, and its type derives from the future's.
    unsafe { gathering.as_any().cast_unchecked() }
}
