//! What is asked of a future of any class: one of ours is looked at, any other is called.

use batonloop_core::Stage;
use batonloop_cpython::kind::{self, Fields};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

use super::{ask_exception, finish, stage};

/// `done()`.
#[inline(always)]
pub(crate) fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match kind::cast_exact_future(future) {
        Some(own) => Ok(stage(own.fields()).is_done()),
        None => future.call_method0(intern!(future.py(), "done"))?.is_truthy(),
    }
}

/// `cancelled()`.
pub(crate) fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match kind::cast_exact_future(future) {
        Some(own) => Ok(stage(own.fields()) == Stage::Cancelled),
        None => future.call_method0(intern!(future.py(), "cancelled"))?.is_truthy(),
    }
}

/// `exception()`, which counts as retrieved.
pub(crate) fn exception<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind::cast_exact_future(future) {
        Some(own) => ask_exception(own),
        None => future.call_method0(intern!(future.py(), "exception")),
    }
}

/// `set_result()`.
#[inline(always)]
pub(crate) fn set_result<'py>(
    future: &Bound<'py, PyAny>,
    result: Bound<'py, PyAny>,
) -> PyResult<()> {
    match kind::cast_exact_future(future) {
        Some(own) => finish(own, result).map_err(|error| *error),
        None => future.call_method1(intern!(future.py(), "set_result"), (result,)).map(drop),
    }
}
