//! The two ways into a coroutine, `send(None)` and `throw`, and what comes out.

use std::ptr;

use pyo3::exceptions::{PyBaseException, PyTypeError};
#[cfg(Py_3_12)]
use pyo3::types::PyTuple;
use pyo3::types::{PyAny, PyAnyMethods, PyType, PyTypeMethods};
use pyo3::{Bound, PyErr, PyResult, Python, ffi, intern};

#[cfg(Py_3_12)]
use crate::cell::GilSlot;
use crate::{Outcome, fetch};

/// What a coroutine did with the control it was given.
pub enum Sent<'py> {
    /// It yielded this and waits to be resumed.
    Yielded(Bound<'py, PyAny>),
    /// It returned this and is finished.
    Returned(Bound<'py, PyAny>),
}

/// Resumes `coroutine` with `None`.
///
/// # Errors
///
/// What the coroutine raised.
#[inline]
pub fn send<'py>(coroutine: &Bound<'py, PyAny>) -> Outcome<Sent<'py>> {
    let py = coroutine.py();
    let mut out = ptr::null_mut();
    // SAFETY: the address of a static object that lives for ever.
    let none = unsafe { ffi::Py_None() };
    let send = sender(coroutine);
    // SAFETY: both objects are alive, and `out` receives a new reference or null.
    let status = unsafe { send(coroutine.as_ptr(), none, &mut out) };
    if status == ffi::PySendResult::PYGEN_ERROR {
        return Err(fetch(py));
    }
    // SAFETY: any status but an error leaves a new reference in `out`.
    let value = unsafe { Bound::from_owned_ptr(py, out) };
    if status == ffi::PySendResult::PYGEN_NEXT {
        Ok(Sent::Yielded(value))
    } else {
        Ok(Sent::Returned(value))
    }
}

/// What sends to this object: the slot of the type, where an `async def` made it.
#[inline]
fn sender(coroutine: &Bound<'_, PyAny>) -> ffi::sendfunc {
    if !is_native(coroutine) {
        return ffi::PyIter_Send;
    }
    // SAFETY: a static type of the interpreter.
    let methods = unsafe { ffi::PyCoro_Type.tp_as_async };
    // SAFETY: coroutines are awaitable, so their type has this table.
    unsafe { (*methods).am_send }.unwrap_or(ffi::PyIter_Send)
}

/// Raises `exception` inside `coroutine`, at the place where it waits.
///
/// # Errors
///
/// What the coroutine raised.
pub fn throw<'py>(
    coroutine: &Bound<'py, PyAny>,
    exception: &Bound<'py, PyAny>,
) -> Outcome<Sent<'py>> {
    let py = coroutine.py();
    match coroutine.call_method1(intern!(py, "throw"), (exception,)) {
        Ok(yielded) => Ok(Sent::Yielded(yielded)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
            let value = error.value(py).getattr(intern!(py, "value"))?;
            Ok(Sent::Returned(value))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether `object` is a coroutine that an `async def` made.
#[inline]
pub fn is_native(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    class == &raw mut ffi::PyCoro_Type
}

/// Whether `object` is a plain generator.
pub fn is_generator(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    class == &raw mut ffi::PyGen_Type
}

/// Raises a `StopIteration` that carries `value`: filled in by hand, at half the price of a call.
///
/// It has no `args`, for nobody sees it but who awaits, and who awaits looks at `value` only.
#[cfg(Py_3_12)]
pub fn stop_iteration(py: Python<'_>, value: Bound<'_, PyAny>) {
    let may_stay = may_stay(value.as_ptr());
    if may_stay && let Some(stop) = unspoilt(py) {
        let fields = stop.as_ptr().cast::<ffi::PyStopIterationObject>();
        // SAFETY: the object is alive, laid out so, and nobody else has it.
        let fields = unsafe { &mut *fields };
        let before = std::mem::replace(&mut fields.value, value.into_ptr());
        // SAFETY: the exception owned what it carried, of which nothing runs when it is let go.
        drop(unsafe { Bound::<PyAny>::from_owned_ptr(py, before) });
        // SAFETY: it is an exception; the call takes the reference.
        return unsafe { ffi::PyErr_SetRaisedException(stop.into_ptr()) };
    }
    // SAFETY: the class is static, and alive.
    let class = unsafe { ffi::PyExc_StopIteration };
    // SAFETY: it is a ready type whose objects are made just so.
    let object = unsafe { ffi::PyType_GenericAlloc(class.cast(), 0) };
    // SAFETY: a new reference, or null with an exception set.
    let Some(stop) = (unsafe { Bound::<PyAny>::from_owned_ptr_or_opt(py, object) }) else {
        return;
    };
    let fields = object.cast::<ffi::PyStopIterationObject>();
    // SAFETY: the object is laid out so, and new: the place is empty.
    unsafe { (*fields).args = PyTuple::empty(py).into_ptr() };
    // SAFETY: as above.
    unsafe { (*fields).value = value.into_ptr() };
    if may_stay {
        SPARE.slot(py).set(stop.clone());
    }
    // SAFETY: it is an exception; the call takes the reference.
    unsafe { ffi::PyErr_SetRaisedException(stop.into_ptr()) };
}

/// The last `StopIteration` whose value [may stay](may_stay): the interpreter takes the value out
/// and lets the rest go, so that it can serve again. The value stays in it until then.
#[cfg(Py_3_12)]
static SPARE: GilSlot = GilSlot::new();

/// Longer bytes are given back at once.
#[cfg(Py_3_12)]
const LONGEST_STAY: isize = 4096;

/// Whether nobody notices that a value lives longer than it must: a bool, or a few bytes. Nothing
/// refers weakly to such, and nothing runs when they end.
#[cfg(Py_3_12)]
#[inline]
fn may_stay(value: *mut ffi::PyObject) -> bool {
    // SAFETY: the object is alive.
    let class = unsafe { ffi::Py_TYPE(value) };
    if class == &raw mut ffi::PyBool_Type {
        return true;
    }
    // SAFETY: bytes have a size.
    class == &raw mut ffi::PyBytes_Type && unsafe { ffi::Py_SIZE(value) } <= LONGEST_STAY
}

/// That one, if nobody else has it and nobody has written anything into it.
#[cfg(Py_3_12)]
fn unspoilt(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let stop = SPARE.slot(py).get(py)?;
    let fields = stop.as_ptr().cast::<ffi::PyStopIterationObject>();
    // SAFETY: the object is alive, laid out so, and only the holder of the interpreter writes.
    let fields = unsafe { &*fields };
    // SAFETY: the object is alive.
    let count = unsafe { ffi::Py_REFCNT(stop.as_ptr()) };
    if count != 2 || fields.args.is_null() {
        return None;
    }
    let written = [fields.dict, fields.notes, fields.traceback, fields.context, fields.cause];
    let suppresses = std::ptr::from_ref(&fields.suppress_context).cast::<u8>();
    // SAFETY: the place is in the object; in C it is one byte.
    let suppresses = unsafe { *suppresses } != 0;
    // SAFETY: the object is alive; where an exception has arguments, they are a tuple.
    let is_bare = unsafe { ffi::PyTuple_GET_SIZE(fields.args) } == 0;
    let is_unwritten = written.iter().all(|field| field.is_null()) && !suppresses && is_bare;
    let is_whole = !fields.value.is_null() && may_stay(fields.value);
    (is_unwritten && is_whole).then_some(stop)
}

/// Raises `StopIteration(value)`.
#[cfg(not(Py_3_12))]
pub fn stop_iteration(py: Python<'_>, value: Bound<'_, PyAny>) {
    PyErr::from_value(match py.get_type::<pyo3::exceptions::PyStopIteration>().call1((value,)) {
        Ok(stop) => stop,
        Err(error) => return error.restore(py),
    })
    .restore(py);
}

/// The exception object of an error, with its traceback on it. Before 3.12 the two come apart when
/// an error is fetched.
pub fn exception_of<'py>(error: PyErr, py: Python<'py>) -> Bound<'py, PyAny> {
    let traceback = error.traceback(py);
    let exception = error.into_value(py).into_bound(py).into_any();
    if let Some(traceback) = traceback {
        set_traceback(&exception, traceback.as_any());
    }
    exception
}

/// The traceback of an exception, or None; whatever its class makes of attributes.
pub fn traceback_of<'py>(exception: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let py = exception.py();
    if !exception.is_instance_of::<PyBaseException>() {
        return py.None().into_bound(py);
    }
    // SAFETY: it is an exception.
    let traceback = unsafe { ffi::PyException_GetTraceback(exception.as_ptr()) };
    // SAFETY: a new reference, or null for none.
    let traceback = unsafe { Bound::from_owned_ptr_or_opt(py, traceback) };
    traceback.unwrap_or_else(|| py.None().into_bound(py))
}

/// Gives an exception a traceback, or None; whatever its class makes of attributes.
pub fn set_traceback(exception: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) {
    if !exception.is_instance_of::<PyBaseException>() {
        return;
    }
    // SAFETY: it is an exception; the call refuses what is no traceback.
    if unsafe { ffi::PyException_SetTraceback(exception.as_ptr(), traceback.as_ptr()) } < 0 {
        drop(PyErr::fetch(exception.py()));
    }
}

/// Raises `exception` and takes it back as an error: what a `raise` statement does to an exception,
/// which is to remember the one that is being handled as its context. A class is called for one.
pub fn raised(exception: &Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    if !exception.is_instance_of::<PyBaseException>() {
        return instance_of(exception).map_or_else(|error| error, |made| raised(&made));
    }
    // SAFETY: the exception is alive.
    let class = unsafe { ffi::Py_TYPE(exception.as_ptr()) };
    // SAFETY: both are alive; the call checks that the class is one of exceptions.
    unsafe { ffi::PyErr_SetObject(class.cast(), exception.as_ptr()) };
    PyErr::fetch(py)
}

/// What a `raise` statement raises in the place of a class of exceptions.
#[cold]
fn instance_of<'py>(class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let base = class.py().get_type::<PyBaseException>();
    if !class.cast::<PyType>().is_ok_and(|class| class.is_subclass(&base).unwrap_or(false)) {
        return Err(PyTypeError::new_err("exceptions must derive from BaseException"));
    }
    let made = class.call0()?;
    if made.is_instance_of::<PyBaseException>() {
        return Ok(made);
    }
    Err(PyTypeError::new_err(format!(
        "calling {} should have returned an instance of BaseException, not {}",
        class.repr()?,
        made.get_type().repr()?
    )))
}

/// Calls `inside` while `exception` is being handled, as in an `except` block: it is what
/// `sys.exc_info()` gives, and the context of whatever is raised.
pub fn while_handling<R>(exception: &Bound<'_, PyAny>, inside: impl FnOnce() -> R) -> R {
    /// Restores what was being handled before, even if the code inside panics.
    struct Before<'py>(Option<Bound<'py, PyAny>>);

    impl Drop for Before<'_> {
        fn drop(&mut self) {
            let before = self.0.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
            // SAFETY: the pointer is null or an exception, and alive; this is made and dropped
            // with the GIL held.
            unsafe { ffi::PyErr_SetHandledException(before) };
        }
    }

    let py = exception.py();
    let seen = handled(py);
    // What is seen may belong to who calls this coroutine: that must not stay in this one. It is
    // this one's if it is gone once this one handles nothing.
    // SAFETY: the GIL is held; null stands for nothing.
    unsafe { ffi::PyErr_SetHandledException(std::ptr::null_mut()) };
    let around = handled(py);
    let before = Before(seen.filter(|seen| !around.is_some_and(|around| around.is(seen))));
    // SAFETY: it is an exception, and alive.
    unsafe { ffi::PyErr_SetHandledException(exception.as_ptr()) };
    let result = inside();
    drop(before);
    result
}

/// The exception that is being handled, here or by whoever calls.
fn handled(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held; the call gives a new reference or null.
    let handled = unsafe { ffi::PyErr_GetHandledException() };
    // SAFETY: as the line above says.
    unsafe { Bound::from_owned_ptr_or_opt(py, handled) }
}
