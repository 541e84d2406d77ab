//! The iterator that Python code gets from `future.__await__()`.

use batonloop_cpython::cell::GilSlot;
use batonloop_cpython::kind::{self, Fields, Future};
use batonloop_cpython::method::Iteration;
use pyo3::exceptions::{PyBaseException, PyStopIteration, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyTuple, PyTupleMethods, PyType, PyTypeMethods};
use pyo3::{Bound, PyErr, PyRef, PyResult, PyTraverseError, PyVisit, Python, pyclass, pymethods};

use super::{PyFuture, iterate};

/// Drives one `await` of a future by hand: `next()`, `send()`, `throw()`, `close()`.
#[pyclass(frozen, module = "batonloop._batonloop")]
pub(crate) struct FutureIter {
    /// Empty once it is exhausted.
    future: GilSlot,
}

impl FutureIter {
    pub(super) fn new(future: &PyFuture<'_>) -> Self {
        let this = Self { future: GilSlot::new() };
        this.future.slot(future.py()).set(future.as_any().clone());
        this
    }

    /// One step of the await; after the last one the future is let go.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(object) = self.future.slot(py).get(py) else {
            return Err(PyStopIteration::new_err(()));
        };
        let Some(future) = kind::cast::<Future>(&object) else {
            return Err(PyStopIteration::new_err(()));
        };
        let outcome = iterate(future);
        if future.fields().state() != 0 {
            self.future.slot(py).clear(py);
        }
        match outcome? {
            Iteration::Yield(value) => Ok(value),
            Iteration::End => Err(PyStopIteration::new_err(())),
            Iteration::Return(value) => {
                Err(PyErr::from_value(py.get_type::<PyStopIteration>().call1((value,))?))
            }
        }
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    // What an `await` of a subclass is driven by.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    /// Go on; the value is ignored, as a future gives nothing to whom it woke.
    fn send<'py>(
        &self,
        py: Python<'py>,
        _value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    /// Raise an exception at the await; the iterator is exhausted then.
    #[pyo3(signature = (*args))]
    fn throw<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        // The words are those of the interpreter's own iterator.
        if args.is_empty() || args.len() > 3 {
            let (bound, count) = if args.is_empty() {
                ("least 1 argument", 0)
            } else {
                ("most 3 arguments", args.len())
            };
            let message = format!("throw expected at {bound}, got {count}");
            return Err(PyTypeError::new_err(message));
        }
        #[cfg(Py_3_12)]
        if args.len() > 1 {
            let category = py.get_type::<pyo3::exceptions::PyDeprecationWarning>();
            let message = c"\
                the (type, exc, tb) signature of throw() is deprecated, use the single-arg \
                signature instead.";
            PyErr::warn(py, &category, message, 1)?;
        }
        let exception = exception(&args.get_item(0)?, args.get_item(1).ok().as_ref())?;
        if let Some(tb) = args.get_item(2).ok().filter(|tb| !tb.is_none()) {
            exception
                .call_method1("with_traceback", (tb,))
                .map_err(|_| PyTypeError::new_err("throw() third argument must be a traceback"))?;
        }
        self.future.slot(py).clear(py);
        Err(PyErr::from_value(exception))
    }

    /// Let the future go.
    fn close(&self, py: Python<'_>) {
        self.future.slot(py).clear(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.future.visit(|slot| slot.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.future.slot(py).clear(py);
    }
}

/// The exception that the arguments of `throw()` name.
fn exception<'py>(
    r#type: &Bound<'py, PyAny>,
    val: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let val = val.filter(|val| !val.is_none());
    if let Ok(class) = r#type.cast::<PyType>()
        && class.is_subclass_of::<PyBaseException>()?
    {
        return match val {
            None => class.call0(),
            Some(val) if val.is_instance(class)? => Ok(val.clone()),
            Some(val) => class.call1((val,)),
        };
    }
    if r#type.is_instance_of::<PyBaseException>() {
        if val.is_some() {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        return Ok(r#type.clone());
    }
    Err(PyTypeError::new_err(
        "exceptions must be classes deriving BaseException or instances of such a class",
    ))
}
