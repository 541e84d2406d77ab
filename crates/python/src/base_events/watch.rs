//! Descriptors that are watched for a program: `add_reader()` and its kin.
//!
//! The arguments are checked in asyncio's order, so that the same one of several mistakes is told.

use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyInt, PyTuple};
use pyo3::{Bound, PyResult, intern};

use super::PyLoop;
use super::schedule::source_traceback;
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::host::Entry;
use crate::selector_events::{self, Side};

/// `add_reader()` and `add_writer()`.
pub(super) fn add<'py>(
    this: &PyLoop<'py>,
    file: &Bound<'py, PyAny>,
    side: Side,
    callback: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    let fd = descriptor(file)?;
    if host.poller.with(py, |poller| poller.is_none()) {
        return Err(exceptions::loop_is_closed());
    }
    let source_traceback = source_traceback(this)?;
    let handle = events::new_handle(Callback {
        callback: callback.clone(),
        arguments: Arguments::Tuple(arguments.as_any().clone()),
        context: None,
        event_loop: this.as_any().clone(),
        source_traceback,
    })?;
    let fd = checked(fd)?;
    let handle = handle.into_any();
    let entry = Entry { object: handle.clone().unbind(), verb: &events::RUN };
    selector_events::watch(py, host, fd, side, entry)?.cancel(py)?;
    Ok(handle)
}

/// `remove_reader()` and `remove_writer()`.
pub(super) fn remove(this: &PyLoop<'_>, file: &Bound<'_, PyAny>, side: Side) -> PyResult<bool> {
    let py = this.py();
    let host = this.get();
    let fd = descriptor(file)?;
    if host.poller.with(py, |poller| poller.is_none()) {
        return Ok(false);
    }
    let fd = match checked(fd) {
        // No descriptor has such a number, so none is watched.
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Ok(false),
        fd => fd?,
    };
    let Some(entry) = selector_events::unwatch(py, host, fd, side) else {
        return Ok(false);
    };
    selector_events::cancel(py, entry)?;
    Ok(true)
}

/// The number of a file: an int, or what its `fileno()` says.
fn descriptor<'py>(file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if file.is_instance_of::<PyInt>() {
        return Ok(file.clone());
    }
    let py = file.py();
    let found = file
        .call_method0(intern!(py, "fileno"))
        .and_then(|fileno| py.get_type::<PyInt>().call1((fileno,)));
    found.map_err(|error| {
        let expected = error.is_instance_of::<PyAttributeError>(py)
            || error.is_instance_of::<PyTypeError>(py)
            || error.is_instance_of::<PyValueError>(py);
        if !expected {
            return error;
        }
        let shown = file.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
        PyValueError::new_err(format!("Invalid file object: {shown}"))
    })
}

/// A number that a descriptor can have.
fn checked(fd: Bound<'_, PyAny>) -> PyResult<i32> {
    if fd.lt(0)? {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    fd.extract::<i32>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(fd.py()) {
            return PyOverflowError::new_err("signed integer is greater than maximum");
        }
        error
    })
}
