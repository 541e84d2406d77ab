//! References that live inside an object's C struct, one word each, empty or owned.

use std::cell::Cell;
use std::ptr;

use pyo3::types::{PyAny, PyNone};
use pyo3::{Bound, Py, PyTraverseError, PyVisit, Python, ffi};

/// An owned reference in a C struct; all zero bits mean empty.
///
/// A slot is only reachable through a `Bound` of the object it is part of, whose token proves that
/// this thread holds the interpreter. Whatever leaves a slot is given to the caller: dropping it
/// is foreign code.
#[repr(transparent)]
pub struct Slot(Cell<*mut ffi::PyObject>);

impl Slot {
    /// An empty slot.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }

    /// Shows what it holds to the garbage collector.
    ///
    /// # Errors
    ///
    /// What the visit says.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let object = self.0.get();
        if object.is_null() {
            return Ok(());
        }
        // SAFETY: `Py` is one non-null pointer to a live object, borrowed for the visit.
        let object = unsafe { &*ptr::from_ref(&object).cast::<Py<PyAny>>() };
        visit.call(object)
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.get().is_null()
    }

    /// Whether it holds just this object.
    #[inline]
    pub fn holds<T>(&self, object: &Bound<'_, T>) -> bool {
        self.0.get() == object.as_ptr()
    }

    /// Whether it holds just this object, and nobody else does but who shows it.
    #[inline]
    pub fn shares_only_with<T>(&self, object: &Bound<'_, T>) -> bool {
        // SAFETY: the object is alive.
        self.holds(object) && unsafe { ffi::Py_REFCNT(object.as_ptr()) } == 2
    }

    /// Whether it holds None.
    #[inline]
    pub fn holds_none(&self, py: Python<'_>) -> bool {
        self.0.get() == PyNone::get(py).as_ptr()
    }

    /// Whether it holds the same as another slot.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }

    /// A new reference to what it holds.
    #[inline]
    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: a slot is empty (null) or owns a live object, and `py` proves the GIL.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.0.get()) }
    }

    /// Takes what it holds and leaves it empty.
    #[inline]
    #[must_use = "dropping it may run Python"]
    pub fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the slot owned the object, and no longer does; `py` proves the GIL.
        unsafe { Bound::from_owned_ptr_or_opt(py, self.0.replace(ptr::null_mut())) }
    }

    /// Puts `new` in and gives back what was there.
    #[inline]
    #[must_use = "dropping it may run Python"]
    pub fn replace<'py>(&self, new: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = new.py();
        // SAFETY: the slot owned the old object, and no longer does; `py` proves the GIL.
        unsafe { Bound::from_owned_ptr_or_opt(py, self.0.replace(new.into_ptr())) }
    }

    /// Puts `new` into a slot that is empty, as those of a fresh object are.
    #[inline]
    pub fn fill(&self, new: Bound<'_, PyAny>) {
        debug_assert!(self.is_empty(), "what the slot holds would be lost");
        self.0.set(new.into_ptr());
    }

    /// Puts `new` in, then drops what was there: that drop may run Python.
    #[inline]
    pub fn set(&self, new: Bound<'_, PyAny>) {
        // Most slots are empty; said like this, that is found out without a call.
        if let Some(old) = self.replace(new) {
            drop(old);
        }
    }

    /// Empties it, then drops what was there: that drop may run Python.
    #[inline]
    pub fn clear(&self, py: Python<'_>) {
        if let Some(old) = self.take(py) {
            drop(old);
        }
    }

    /// Where the object lives, for a visitor or a comparison; never to be kept.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.get()
    }
}
