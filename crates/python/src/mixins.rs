//! What locks and queues have in common: the loop they belong to, and those who wait.

use batonloop_core::Stage;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::slot::Slot;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyTuple, PyTupleMethods};
use pyo3::{Bound, PyResult, intern};

use crate::coroutines::PyCoroutine;
use crate::futures;
use crate::host::EventLoop;
use crate::names::none;
use crate::running;

/// The running loop, to which `this` belongs from now on.
///
/// RuntimeError if it belongs to another one.
pub(crate) fn get_loop<'py>(this: &Bound<'py, PyAny>, bound: &Slot) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let event_loop = running::get(py).unwrap_or_else(|_| none(py));
    if bound.is_empty() && !event_loop.is_none() {
        bound.fill(event_loop.clone());
    }
    // Outside of a running loop there is none to belong to; the future will say so.
    let is_bound = bound.holds(&event_loop) || (bound.is_empty() && event_loop.is_none());
    if !is_bound {
        let text = format!("{} is bound to a different event loop", this.repr()?);
        return Err(PyRuntimeError::new_err(text));
    }
    Ok(event_loop)
}

/// A new future of a loop.
pub(crate) fn new_future(event_loop: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = event_loop.py();
    if EventLoop::direct(&event_loop).is_some_and(|host| host.has_own_create_future.get(py)) {
        return Ok(futures::new(event_loop)?.into_any());
    }
    event_loop.call_method0(intern!(py, "create_future"))
}

/// Whether a future is done, of whatever kind it is.
pub(crate) fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match kind::cast_exact_future(future) {
        Some(future) => Ok(futures::stage(future.fields()).is_done()),
        None => future.call_method0(intern!(future.py(), "done"))?.is_truthy(),
    }
}

/// Whether a future was cancelled, of whatever kind it is.
pub(crate) fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match kind::cast_exact_future(future) {
        Some(future) => Ok(futures::stage(future.fields()) == Stage::Cancelled),
        None => future.call_method0(intern!(future.py(), "cancelled"))?.is_truthy(),
    }
}

/// Gives a future its result, of whatever kind it is.
pub(crate) fn settle<'py>(future: &Bound<'py, PyAny>, result: Bound<'py, PyAny>) -> PyResult<()> {
    match kind::cast_exact_future(future) {
        Some(future) => futures::finish(future, result).map_err(|error| *error),
        None => future.call_method1(intern!(future.py(), "set_result"), (result,)).map(drop),
    }
}

/// Writes an attribute that a slot holds; None empties it.
pub(crate) fn set_slot(slot: &Slot, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match value {
        Some(value) if value.is_none() => slot.clear(value.py()),
        Some(value) => slot.set(value.clone()),
        None => return Err(futures::cannot_delete()),
    }
    Ok(())
}

/// What the coroutine's method was called on.
pub(crate) fn owner<'py>(this: &PyCoroutine<'py>) -> Bound<'py, PyAny> {
    this.fields().owner.get(this.py()).unwrap_or_else(|| none(this.py()))
}

/// Refuses arguments where there are none to give.
pub(crate) fn ensure_nothing(
    class: &str,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    if let Some((name, _)) = kwargs.and_then(|kwargs| kwargs.iter().next()) {
        return Err(PyTypeError::new_err(format!(
            "{class}.__init__() got an unexpected keyword argument '{name}'"
        )));
    }
    if args.is_empty() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{class}.__init__() takes 1 positional argument but {} were given",
        args.len() + 1
    )))
}

/// The one argument that may be given.
pub(crate) fn one_argument<'py>(
    class: &str,
    name: &str,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut found = args.iter().next();
    if args.len() > 1 {
        return Err(PyTypeError::new_err(format!(
            "{class}.__init__() takes from 1 to 2 positional arguments but {} were given",
            args.len() + 1
        )));
    }
    for (key, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        if !key.eq(name)? {
            return Err(PyTypeError::new_err(format!(
                "{class}.__init__() got an unexpected keyword argument '{key}'"
            )));
        }
        if found.replace(value).is_some() {
            return Err(PyTypeError::new_err(format!(
                "{class}.__init__() got multiple values for argument '{name}'"
            )));
        }
    }
    Ok(found)
}
