//! What objects of ours that behave like coroutines have in common: the words of an `async def`.

use batonloop_cpython::method::{Args, Iteration};
use batonloop_cpython::verify;
use pyo3::exceptions::{
    PyBaseException, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::types::{PyAny, PyAnyMethods, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

/// It was driven to its end, or closed, before.
#[cold]
pub(crate) fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

/// It was driven from inside itself.
#[cold]
pub(crate) fn already_executing() -> PyErr {
    PyValueError::new_err("coroutine already executing")
}

/// A value was sent before there was anybody to take it.
#[cold]
pub(crate) fn sent_too_early() -> PyErr {
    PyTypeError::new_err("can't send non-None value to a just-started coroutine")
}

/// What `send()` gives or raises after a step.
pub(crate) fn sent<'py>(py: Python<'py>, step: Iteration<'py>) -> PyResult<Bound<'py, PyAny>> {
    match step {
        Iteration::Yield(value) => Ok(value),
        Iteration::End => Err(PyStopIteration::new_err(())),
        Iteration::Return(value) => {
            Err(PyErr::from_value(py.get_type::<PyStopIteration>().call1((value,))?))
        }
    }
}

/// The exception that the arguments of `throw()` name.
///
/// TypeError for what is no exception.
pub(crate) fn thrown(args: Args<'_, '_>) -> PyResult<PyErr> {
    let [exception, value, _] = args.parse("throw", ["type", "val", "tb"], 3)?;
    let exception = exception
        .ok_or_else(|| PyTypeError::new_err("throw expected at least 1 argument, got 0"))?;
    if exception.is_instance_of::<PyBaseException>() {
        return Ok(PyErr::from_value(exception.clone()));
    }
    let value = value.filter(|value| !value.is_none());
    if exception.is_instance_of::<PyType>() {
        let made = match value {
            Some(value) if value.is_instance(exception)? => value.clone(),
            Some(value) => exception.call1((value,))?,
            None => exception.call0()?,
        };
        if made.is_instance_of::<PyBaseException>() {
            return Ok(PyErr::from_value(made));
        }
    }
    Err(PyTypeError::new_err(format!(
        "exceptions must be classes or instances deriving from BaseException, not {}",
        verify::class_name(exception)
    )))
}

/// Warns that nobody ever drove it.
pub(crate) fn warn_never_awaited(coroutine: &Bound<'_, PyAny>, name: &str) {
    let py = coroutine.py();
    let category = py.get_type::<PyRuntimeWarning>();
    let message = std::ffi::CString::new(format!("coroutine '{name}' was never awaited"));
    let warned = message.map_or(Ok(()), |message| PyErr::warn(py, &category, &message, 1));
    if let Err(error) = warned {
        error.write_unraisable(py, Some(coroutine));
    }
}

/// Lets `isinstance(object, collections.abc.Coroutine)` be true of a type's objects.
pub(crate) fn register(type_object: &Bound<'_, PyType>) -> PyResult<()> {
    let py = type_object.py();
    py.import("collections.abc")?
        .getattr(intern!(py, "Coroutine"))?
        .call_method1(intern!(py, "register"), (type_object,))?;
    Ok(())
}
