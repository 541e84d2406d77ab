//! Calls into Python at the price of a C call.

use std::ffi::{CStr, c_char, c_int};

use pyo3::types::{PyAny, PyString};
use pyo3::{Bound, Py, PyErr, PyResult, Python, ffi};

use crate::{Outcome, fetch};

/// Calls `callable()`.
///
/// # Errors
///
/// What it raises.
#[inline]
pub fn call0<'py>(callable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the callable is alive.
    let result = unsafe { ffi::PyObject_CallNoArgs(callable.as_ptr()) };
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls `callable(argument)`.
///
/// # Errors
///
/// What it raises.
#[inline]
pub fn call1<'py>(
    callable: &Bound<'py, PyAny>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both are alive.
    let result = unsafe { ffi::PyObject_CallOneArg(callable.as_ptr(), argument.as_ptr()) };
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls `object.name(argument)`.
///
/// # Errors
///
/// What it raises, AttributeError included.
#[inline]
pub fn method1<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    argument: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let mut arguments = [object.as_ptr(), argument.as_ptr()];
    // SAFETY: all are alive; the first of the two arguments is the object itself, and its place may
    // be written for the time of the call.
    let result = unsafe {
        ffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            arguments.as_mut_ptr(),
            2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    };
    // SAFETY: the call gave a new reference, or null with an exception set.
    match unsafe { Bound::from_owned_ptr_or_opt(object.py(), result) } {
        Some(result) => Ok(result),
        None => Err(fetch(object.py())),
    }
}

/// Calls `callable(*arguments)`, where `arguments` is a tuple.
///
/// # Errors
///
/// What it raises; TypeError if `arguments` is no tuple.
#[inline]
pub fn call_tuple<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both are alive; the callee checks that the arguments are a tuple.
    let result = unsafe { ffi::PyObject_CallObject(callable.as_ptr(), arguments.as_ptr()) };
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// The size of a tuple, or `None` for anything else.
#[inline]
pub fn tuple_len(object: &Bound<'_, PyAny>) -> Option<usize> {
    // SAFETY: the object is alive; the check reads its type's flags.
    if unsafe { ffi::PyTuple_CheckExact(object.as_ptr()) } == 0 {
        return None;
    }
    // SAFETY: it is a tuple.
    let size = unsafe { ffi::PyTuple_GET_SIZE(object.as_ptr()) };
    usize::try_from(size).ok()
}

/// Tells those who listen of what is about to happen: `sys.audit(event, first, second)`.
///
/// # Errors
///
/// What a listener raises, to forbid it.
#[inline]
pub fn audit(event: &CStr, first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<()> {
    let format = c"OO".as_ptr();
    // SAFETY: both strings are such, and the format speaks of two objects, which are alive.
    if unsafe { PySys_Audit(event.as_ptr(), format, first.as_ptr(), second.as_ptr()) } < 0 {
        return Err(PyErr::fetch(first.py()));
    }
    Ok(())
}

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// What `object.__setattr__` and `object.__delattr__` do, for a class that looks on.
///
/// # Errors
///
/// AttributeError and what a descriptor raises.
pub fn set_attribute<T>(
    object: &Bound<'_, T>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: all are alive; null means deletion.
    if unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) } < 0 {
        return Err(PyErr::fetch(object.py()));
    }
    Ok(())
}

/// A builtin function without arguments, called without the ceremony.
pub struct Builtin {
    object: Py<PyAny>,
    /// The C function and its `self`, if the object is such a builtin function.
    direct: Option<(ffi::PyCFunction, *mut ffi::PyObject)>,
}

// SAFETY: the pointers belong to the object, which is kept alive, and are only used with a token.
unsafe impl Send for Builtin {}
// SAFETY: as above.
unsafe impl Sync for Builtin {}

impl Builtin {
    /// Looks what `object` is; anything callable will do.
    pub fn new(object: &Bound<'_, PyAny>) -> Self {
        Self { object: object.clone().unbind(), direct: Self::direct(object) }
    }

    fn direct(object: &Bound<'_, PyAny>) -> Option<(ffi::PyCFunction, *mut ffi::PyObject)> {
        // SAFETY: the object is alive; the check reads its type.
        if unsafe { ffi::PyCFunction_CheckExact(object.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: it is a builtin function.
        if unsafe { ffi::PyCFunction_GetFlags(object.as_ptr()) } != ffi::METH_NOARGS {
            return None;
        }
        // SAFETY: it is a builtin function.
        let function = unsafe { ffi::PyCFunction_GetFunction(object.as_ptr()) }?;
        // SAFETY: it is a builtin function.
        let this = unsafe { ffi::PyCFunction_GetSelf(object.as_ptr()) };
        Some((function, this))
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// What it raises.
    #[inline]
    pub fn call<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        let Some((function, this)) = self.direct else {
            return Ok(call0(self.object.bind(py))?);
        };
        // SAFETY: the flags, which were compared, say that this is how it is called; its self
        // lives as long as the function.
        let result = unsafe { function(this, std::ptr::null_mut()) };
        // SAFETY: a new reference, or null with an exception set.
        match unsafe { Bound::from_owned_ptr_or_opt(py, result) } {
            Some(result) => Ok(result),
            None => Err(fetch(py)),
        }
    }
}
