//! Contexts: a copy of the current one, and a stay inside one.

use std::mem::ManuallyDrop;

use pyo3::types::PyAny;
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

use crate::{Outcome, fetch};

/// A copy of the current context, as `contextvars.copy_context()` gives it.
///
/// # Errors
///
/// `MemoryError`.
#[inline]
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: `py` proves the GIL.
    let context = unsafe { ffi::PyContext_CopyCurrent() };
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, context) }
}

/// A copy of a context.
///
/// # Errors
///
/// TypeError if it is none; `MemoryError`.
#[inline]
pub fn copy_of<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is alive; anything but a context makes the call raise TypeError.
    let copy = unsafe { ffi::PyContext_Copy(context.as_ptr()) };
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), copy) }
}

/// Whether `object` is a `contextvars.Context`.
#[inline]
pub fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `object` is alive; the check reads its type.
    (unsafe { ffi::PyContext_CheckExact(object.as_ptr()) }) != 0
}

/// Runs `inside` with `context` entered, as `Context.run` does.
///
/// # Errors
///
/// What Python raises when the context cannot be entered (it is entered already, or is none at
/// all) or left, else what `inside` says.
#[inline(always)]
pub fn enter<'py>(
    context: &Bound<'py, PyAny>,
    inside: impl FnOnce(Python<'py>) -> Outcome,
) -> Outcome {
    let py = context.py();
    // SAFETY: `context` is alive; anything but a context makes the call raise TypeError.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(fetch(py));
    }
    let stay = Stay(context);
    let outcome = inside(py);
    stay.leave(outcome)
}

/// A stay in a context that ends even when the code inside panics.
struct Stay<'a, 'py>(&'a Bound<'py, PyAny>);

impl Stay<'_, '_> {
    #[inline(always)]
    fn leave(self, outcome: Outcome) -> Outcome {
        let context = ManuallyDrop::new(self).0;
        // SAFETY: the context is alive and was entered by `enter`.
        if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
            return outcome.and(Err(fetch(context.py())));
        }
        outcome
    }
}

impl Drop for Stay<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the context is alive and was entered by `enter`.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } < 0 {
            drop(PyErr::fetch(self.0.py()));
        }
    }
}
