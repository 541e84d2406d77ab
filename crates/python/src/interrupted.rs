//! Calls that do not succeed at once: a signal came in between, or they would have to wait.
//!
//! A signal is no answer: its handler runs, and the call is made again (PEP 475). To wait is one,
//! and the loop's affair. Every call that moves bytes or takes connections goes through here, so
//! that all treat both alike.

use std::io;

use batonloop_sys::socket::{EAGAIN, EINTR};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError};
use pyo3::{PyResult, Python};

use crate::exceptions;

/// Makes a call of the kernel until no signal comes in between; nothing if it would wait.
///
/// The handler of a signal may do anything: what the call uses, its descriptor above all, is looked
/// up in the call.
///
/// OSError for all else that the kernel says, and whatever a handler raises.
#[inline(always)]
pub(crate) fn unless_it_waits<T>(
    py: Python<'_>,
    mut call: impl FnMut() -> io::Result<T>,
) -> PyResult<Option<T>> {
    loop {
        match call() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if goes_on(py, &error)? => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Whether a call is to be made again at once, or later.
#[cold]
fn goes_on(py: Python<'_>, error: &io::Error) -> PyResult<bool> {
    match error.raw_os_error() {
        Some(EAGAIN) => Ok(false),
        Some(EINTR) => py.check_signals().map(|()| true),
        _ => Err(exceptions::os_error(error, py)),
    }
}

/// What came of a call of Python's, which has seen to signals; nothing if it would wait.
#[inline]
pub(crate) fn unless_python_waits<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        // An object that stands for a socket may still let a signal end its call.
        Err(error)
            if error.is_instance_of::<PyBlockingIOError>(py)
                || error.is_instance_of::<PyInterruptedError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
