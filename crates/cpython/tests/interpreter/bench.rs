//! The work-bench: an interpreter for one test at a time, and Python objects to try things on.

use std::ffi::CStr;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyBaseException;
use pyo3::types::{PyAny, PyAnyMethods, PyCFunction, PyDict, PyDictMethods};
use pyo3::{Bound, PyErr, PyTypeInfo, Python};

/// Tests of one process share its interpreter, and with it free lists and type objects.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test that has the interpreter to itself.
#[track_caller]
pub(crate) fn with_python(test: impl for<'py> FnOnce(Python<'py>)) {
    // A test that failed before this one leaves nothing half-done here.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Python::initialize();
    Python::attach(test);
}

/// The names that a piece of Python defines.
pub(crate) fn define<'py>(py: Python<'py>, code: &CStr) -> Bound<'py, PyDict> {
    let names = PyDict::new(py);
    py.run(code, Some(&names), None).expect("the code runs");
    names
}

/// One of them.
#[track_caller]
pub(crate) fn name<'py>(names: &Bound<'py, PyDict>, name: &str) -> Bound<'py, PyAny> {
    names.get_item(name).expect("a dict of names").expect("the code defines it")
}

/// The value of an expression.
#[track_caller]
pub(crate) fn value<'py>(py: Python<'py>, expression: &CStr) -> Bound<'py, PyAny> {
    py.eval(expression, None, None).expect("the expression has a value")
}

/// An object that nobody else knows.
pub(crate) fn thing(py: Python<'_>) -> Bound<'_, PyAny> {
    value(py, c"type('Thing', (), {})()")
}

/// How many references there are to an object; only differences mean something.
#[track_caller]
pub(crate) fn count(object: &Bound<'_, PyAny>) -> usize {
    let py = object.py();
    let sys = py.import("sys").expect("sys");
    let count = sys.call_method1("getrefcount", (object,)).expect("a count");
    count.extract().expect("a number")
}

/// An object that calls `last` when it dies. What fails there must be told, not asserted: nothing
/// that a destructor raises gets out.
pub(crate) fn dying(
    py: Python<'_>,
    last: impl Fn(Python<'_>) + Send + Sync + 'static,
) -> Bound<'_, PyAny> {
    let names = define(
        py,
        c"class Dying:
    def __init__(self, last): self.last = last
    def __del__(self): self.last()
",
    );
    let last = PyCFunction::new_closure(py, None, None, move |args, _| last(args.py()));
    name(&names, "Dying").call1((last.expect("a function"),)).expect("an object")
}

/// Asserts that something raised exactly this exception with these words.
#[track_caller]
pub(crate) fn assert_raised<E: PyTypeInfo, T: Debug>(
    py: Python<'_>,
    result: Result<T, impl Into<PyErr>>,
    message: &str,
) {
    let error: PyErr = match result {
        Ok(value) => panic!("expected an exception, got {value:?}"),
        Err(error) => error.into(),
    };
    assert!(error.get_type(py).is(py.get_type::<E>()), "{error}");
    let exception: Bound<'_, PyBaseException> = error.into_value(py).into_bound(py);
    assert_eq!(exception.to_string(), message);
}
