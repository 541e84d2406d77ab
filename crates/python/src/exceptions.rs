//! asyncio's own exceptions with asyncio's own messages, made where they are raised.

use batonloop_cpython::coroutine;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError, PySystemExit, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, PyResult, Python};

use crate::names;

/// `asyncio.InvalidStateError(message)`.
#[cold]
pub(crate) fn invalid_state(py: Python<'_>, message: impl Into<String>) -> PyErr {
    let made = names::INVALID_STATE_ERROR.get(py).and_then(|class| class.call1((message.into(),)));
    made.map_or_else(|error| error, |exception| coroutine::raised(&exception))
}

/// A new `asyncio.CancelledError()`, or with a message; not raised yet.
#[cold]
pub(crate) fn new_cancelled<'py>(
    message: Option<&Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = names::CANCELLED_ERROR.get(py)?;
    match message {
        Some(message) if !message.is_none() => class.call1((message,)),
        _ => class.call0(),
    }
}

/// Whether `error` is a `CancelledError`.
pub(crate) fn is_cancelled(error: &PyErr, py: Python<'_>) -> bool {
    names::CANCELLED_ERROR.get(py).is_ok_and(|class| error.is_instance(py, class))
}

/// Whether `error` must leave the loop: `KeyboardInterrupt` or `SystemExit`.
pub(crate) fn is_exit(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

/// A method was called on a future whose `__init__` never ran.
#[cold]
pub(crate) fn uninitialised(kind: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{kind} object is not initialized."))
}

/// What asyncio says when a loop is used after `close()`.
#[cold]
pub(crate) fn loop_is_closed() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}

/// What the kernel says, as Python's `os` module would raise it.
#[cold]
pub(crate) fn os_error(error: &std::io::Error, py: Python<'_>) -> PyErr {
    let Some(errno) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let text = py
        .import("os")
        .and_then(|os| os.call_method1("strerror", (errno,)))
        .and_then(|text| text.extract::<String>())
        .unwrap_or_else(|_| error.to_string());
    PyOSError::new_err((errno, text))
}

/// Something stands in the queue that its verb does not know: the queue is ours, so this is a
/// defect of batonloop.
#[cold]
pub(crate) fn stranger(object: &Bound<'_, PyAny>) -> PyErr {
    let class = batonloop_cpython::verify::class_name(object);
    PyRuntimeError::new_err(format!("batonloop cannot run a queued {class}: please report this"))
}

/// TypeError for a callback that is none.
pub(crate) fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    if is_coroutine_or_function(callback)? {
        return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
    }
    if !callback.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "a callable object was expected by {method}(), got {}",
            callback.repr()?
        )));
    }
    Ok(())
}

fn is_coroutine_or_function(callback: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = callback.py();
    if names::IS_COROUTINE.get(py)?.call1((callback,))?.is_truthy()? {
        return Ok(true);
    }
    names::IS_COROUTINE_FUNCTION.get(py)?.call1((callback,))?.is_truthy()
}
