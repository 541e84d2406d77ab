//! Coroutines whose body is a Rust function: the object that Python sees.
//!
//! There is one type for all of them. What makes one `Lock.acquire()` and another `Queue.get()` is
//! the [`Body`] it points to, as a verb tells handles of a loop apart.

use std::cell::Cell;

use pyo3::types::{DerefToPyAny, PyAny};
use pyo3::{Bound, PyErr, PyResult, PyTypeInfo, Python, ffi};

use crate::kind::{self, Fields, Kind, Shared};
use crate::method::Iteration;
use crate::slot::Slot;

/// The stage of a coroutine that is over.
pub const CLOSED: u8 = u8::MAX;

/// What a coroutine does.
pub struct Body {
    /// `__name__`.
    pub name: &'static str,
    /// `__qualname__`.
    pub qualified_name: &'static str,
    /// One step, which an exception may begin.
    pub step: for<'py> fn(&Bound<'py, Coroutine>, Option<PyErr>) -> PyResult<Iteration<'py>>,
}

/// Marks a coroutine whose body is a Rust function.
pub enum Coroutine {}

/// Its struct.
#[repr(C)]
pub struct CoroutineFields {
    head: ffi::PyObject,
    body: Cell<Option<&'static Body>>,
    /// What its method was called on.
    pub owner: Slot,
    /// What it was called with.
    pub argument: Slot,
    /// What it keeps from one step to the next.
    pub kept: Slot,
    /// What it waits for: a future of ours, or what drives any other awaitable.
    pub awaited: Slot,
    stage: Cell<u8>,
    #[cfg(Py_3_14)]
    unread: [u8; 10],
    /// Where one of the interpreter's says how far it has come. `python -m asyncio ps` reads it in
    /// the memory of another process, takes whatever a task runs for one of those, and is told
    /// that there is no frame.
    #[cfg(Py_3_14)]
    frame_state: Cell<u8>,
}

#[cfg(Py_3_14)]
const _: () = assert!(std::mem::offset_of!(CoroutineFields, frame_state) == 67);

/// `FRAME_CLEARED` of the interpreter.
#[cfg(all(Py_3_14, not(Py_3_15)))]
const FRAME_CLEARED: u8 = 4;
#[cfg(Py_3_15)]
const FRAME_CLEARED: u8 = 5;

impl CoroutineFields {
    /// What it does; nothing for one that Python code has made.
    #[inline]
    pub fn body(&self) -> Option<&'static Body> {
        self.body.get()
    }

    /// How far it has come; zero at birth.
    #[inline]
    pub fn stage(&self) -> u8 {
        self.stage.get()
    }

    /// Sets how far it has come.
    #[inline]
    pub fn set_stage(&self, stage: u8) {
        self.stage.set(stage);
    }

    /// Every slot.
    #[inline(always)]
    pub fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [&self.owner, &self.argument, &self.kept, &self.awaited] {
            visit(slot);
        }
    }
}

static SHARED: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields, on `object`; every
// field is valid as zero bits.
unsafe impl Kind for Coroutine {
    type Fields = CoroutineFields;

    fn shared() -> &'static Shared {
        &SHARED
    }

    #[inline(always)]
    fn each_slot(fields: &CoroutineFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &CoroutineFields) -> bool {
        fields.stage() != CLOSED && fields.body().is_some()
    }
}

// SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type object
// is made before any object is.
unsafe impl PyTypeInfo for Coroutine {
    fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
        SHARED.type_object()
    }
}

impl DerefToPyAny for Coroutine {}

/// A coroutine with this body, called on `owner`.
///
/// # Errors
///
/// `MemoryError`.
#[inline(always)]
pub fn new<'py>(body: &'static Body, owner: Bound<'py, PyAny>) -> PyResult<Bound<'py, Coroutine>> {
    let coroutine = kind::allocate::<Coroutine>(owner.py())?;
    let fields = coroutine.fields();
    fields.body.set(Some(body));
    #[cfg(Py_3_14)]
    fields.frame_state.set(FRAME_CLEARED);
    fields.owner.fill(owner);
    Ok(coroutine)
}
