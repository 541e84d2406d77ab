//! Errors of a transport: which are told to whom, and which end the connection.

use batonloop_cpython::coroutine;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyString};
use pyo3::{Bound, PyErr, PyResult, intern};

use super::Transport;
use crate::exceptions;
use crate::names;

impl<'py> Transport<'_, 'py> {
    /// After an error that ends the connection: usual ones are shown in debug mode only, all others
    /// go to the exception handler. What leaves the loop leaves it.
    #[cold]
    pub(super) fn fatal_error(self, error: PyErr, message: &str) -> PyResult<()> {
        let py = self.py();
        if exceptions::is_exit(&error, py) {
            return Err(error);
        }
        let is_usual = (self.manner.is_usual)(&error, py);
        let exception = coroutine::exception_of(error, py);
        self.tell_of(&exception, is_usual, message)?;
        self.force_close(Some(exception))
    }

    fn tell_of(self, exception: &Bound<'py, PyAny>, is_usual: bool, message: &str) -> PyResult<()> {
        let py = self.py();
        if !is_usual {
            return self.report(exception, message);
        }
        if !self.is_debugged() {
            return Ok(());
        }
        let debug = names::LOGGER.get(py)?.getattr(intern!(py, "debug"))?;
        let keywords = PyDict::new(py);
        keywords.set_item("exc_info", true)?;
        let logged = coroutine::while_handling(exception, || {
            debug.call(("%r: %s", self.object, message), Some(&keywords))
        });
        logged.map(drop)
    }

    /// Tells the exception handler of an error of the protocol's.
    pub(super) fn report(self, exception: &Bound<'py, PyAny>, message: &str) -> PyResult<()> {
        let py = self.py();
        let Some(event_loop) = self.event_loop() else {
            return Ok(());
        };
        let context = PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", exception)?;
        context.set_item("transport", self.object)?;
        context.set_item("protocol", self.protocol())?;
        coroutine::while_handling(exception, || {
            event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))
        })
        .map(drop)
    }

    /// Calls a method of the protocol that has no arguments and asks nothing of the connection:
    /// if it raises, the exception handler is told and all goes on.
    pub(super) fn notify(self, name: &Bound<'py, PyString>) -> PyResult<()> {
        let py = self.py();
        let Err(error) = self.protocol().call_method0(name) else {
            return Ok(());
        };
        if exceptions::is_exit(&error, py) {
            return Err(error);
        }
        let exception = coroutine::exception_of(error, py);
        self.report(&exception, &format!("protocol.{name}() failed"))
    }
}
