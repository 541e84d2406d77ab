//! What `sleep(0)` returns: a coroutine that yields once.
//!
//! It is no `async def`, but behaves like one: it may be awaited, wrapped in a task, driven by hand
//! with `send`, `throw` and `close`, and it warns if nobody ever does.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, Sleep};
use batonloop_cpython::method::{Args, Iteration, Method, TypeSlot};
use pyo3::exceptions::{
    PyBaseException, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError,
};
use pyo3::types::{PyAny, PyAnyMethods, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

// How far it has come. Zero is the state of fresh memory.
const CREATED: u8 = 0;
const SUSPENDED: u8 = 1;
const CLOSED: u8 = 2;

type PySleep<'py> = Bound<'py, Sleep>;

/// A new one, which will return `result`.
#[inline]
pub(crate) fn new<'py>(
    py: Python<'py>,
    result: Option<&Bound<'py, PyAny>>,
) -> PyResult<PySleep<'py>> {
    let sleep = kind::allocate::<Sleep>(py)?;
    if let Some(result) = result {
        sleep.fields().result.set(result.clone());
    }
    Ok(sleep)
}

#[inline]
/// The first step yields, the second returns, a third is a mistake.
fn iterate<'py>(sleep: &PySleep<'py>) -> PyResult<Iteration<'py>> {
    let py = sleep.py();
    let fields = sleep.fields();
    let none = || py.None().into_bound(py);
    match fields.stage() {
        CREATED => {
            fields.set_stage(SUSPENDED);
            Ok(Iteration::Yield(none()))
        }
        SUSPENDED => {
            fields.set_stage(CLOSED);
            Ok(match fields.result.take(py) {
                Some(result) if !result.is_none() => Iteration::Return(result),
                _ => Iteration::End,
            })
        }
        _ => Err(reused()),
    }
}

#[cold]
fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

fn awaited<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(sleep.as_any().clone())
}

/// `send()`, with what a coroutine says to a value that comes too early.
fn send<'py>(sleep: &PySleep<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    if sleep.fields().stage() == CREATED && !value.is_none() {
        return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
    }
    match iterate(sleep)? {
        Iteration::Yield(value) => Ok(value),
        Iteration::End => Err(PyStopIteration::new_err(())),
        Iteration::Return(value) => {
            Err(PyErr::from_value(py.get_type::<PyStopIteration>().call1((value,))?))
        }
    }
}

/// `throw()`: whatever is thrown ends it, for it has no way to catch.
fn throw<'py>(sleep: &PySleep<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    let [exception, value, _] = args.parse("throw", ["type", "val", "tb"], 3)?;
    let exception = exception
        .ok_or_else(|| PyTypeError::new_err("throw expected at least 1 argument, got 0"))?;
    if sleep.fields().stage() == CLOSED {
        return Err(reused());
    }
    sleep.fields().set_stage(CLOSED);
    sleep.fields().result.clear(py);
    if exception.is_instance_of::<PyBaseException>() {
        return Err(PyErr::from_value(exception.clone()));
    }
    let value = value.filter(|value| !value.is_none());
    if exception.is_instance_of::<PyType>() {
        let made = match value {
            Some(value) if value.is_instance(exception)? => value.clone(),
            Some(value) => exception.call1((value,))?,
            None => exception.call0()?,
        };
        if made.is_instance_of::<PyBaseException>() {
            return Err(PyErr::from_value(made));
        }
    }
    Err(PyTypeError::new_err(format!(
        "exceptions must be classes or instances deriving from BaseException, not {}",
        batonloop_cpython::verify::class_name(exception)
    )))
}

/// `close()`: it will never be driven, and so does not warn.
fn close<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    sleep.fields().set_stage(CLOSED);
    sleep.fields().result.clear(py);
    Ok(py.None().into_bound(py))
}

fn repr<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    let text = format!("<coroutine object sleep at {:#x}>", sleep.as_ptr().addr());
    Ok(pyo3::types::PyString::new(py, &text).into_any())
}

/// Nobody ever drove it.
fn finalize(sleep: &PySleep<'_>) {
    let py = sleep.py();
    if sleep.fields().stage() != CREATED {
        return;
    }
    let category = py.get_type::<PyRuntimeWarning>();
    if let Err(error) = PyErr::warn(py, &category, c"coroutine 'sleep' was never awaited", 1) {
        error.write_unraisable(py, Some(sleep.as_any()));
    }
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let made = TypeBuilder::<Sleep>::new(c"batonloop.coroutine", c"A coroutine that yields once.")
        .methods([
            Method::one_arg(c"send", c"Resume with a value.", send),
            Method::args(c"throw", c"Raise an exception inside.", throw),
            Method::no_args(c"close", c"End it.", close),
        ])
        .slots([
            TypeSlot::repr(repr),
            TypeSlot::finalize(finalize),
            TypeSlot::awaited(awaited),
            TypeSlot::next(iterate),
            TypeSlot::send(iterate),
        ])
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    py.import("collections.abc")?
        .getattr(intern!(py, "Coroutine"))?
        .call_method1(intern!(py, "register"), (&made,))?;
    Ok(made)
}
