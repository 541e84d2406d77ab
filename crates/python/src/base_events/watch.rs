//! Descriptors that are watched: `add_reader()` and its kin.
//!
//! The kernel is told at once, because asyncio raises here for a descriptor that cannot be polled,
//! and the table changes only when the kernel has agreed.

use std::io::ErrorKind;
use std::sync::Arc;

use batonloop_core::Interest;
use batonloop_cpython::kind::{self, Handle};
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyInt, PyTuple};
use pyo3::{Bound, PyResult, Python, intern};

use super::PyLoop;
use super::schedule::source_traceback;
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::host::{Entry, EventLoop, Poller};

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Reader,
    Writer,
}

impl Side {
    fn added(self, interest: Interest) -> Interest {
        match self {
            Self::Reader => interest.and_readable(),
            Self::Writer => interest.and_writable(),
        }
    }

    fn removed(self, interest: Interest) -> Interest {
        match self {
            Self::Reader => interest.but_readable(),
            Self::Writer => interest.but_writable(),
        }
    }
}

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
    let poller = poller(py, host).ok_or_else(exceptions::loop_is_closed)?;
    let source_traceback = source_traceback(this)?;
    let handle = events::new_handle(Callback {
        callback: callback.clone(),
        arguments: Arguments::Tuple(arguments.as_any().clone()),
        context: None,
        event_loop: this.as_any().clone(),
        source_traceback,
    })?;
    let fd = checked(fd)?;
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let wanted = side.added(before);
    if before.is_none() {
        poller.selector.register(fd, wanted).map_err(|error| exceptions::os_error(&error, py))?;
    } else if let Err(error) = poller.selector.modify(fd, wanted) {
        // The descriptor was closed behind our back: nobody will hear of it again.
        forget(py, host, fd);
        // Its number may have been given to another file since, which is watched from now on.
        let anew = side.added(Interest::NONE);
        if error.kind() != ErrorKind::NotFound || poller.selector.register(fd, anew).is_err() {
            return Err(exceptions::os_error(&error, py));
        }
    }
    let handle = handle.into_any();
    let entry = Entry { object: handle.clone().unbind(), verb: &events::RUN };
    let displaced = host.agenda.with(py, |agenda| match side {
        Side::Reader => agenda.watched.set_reader(fd, entry),
        Side::Writer => agenda.watched.set_writer(fd, entry),
    });
    cancel(py, displaced)?;
    Ok(handle)
}

/// `remove_reader()` and `remove_writer()`.
pub(super) fn remove(this: &PyLoop<'_>, file: &Bound<'_, PyAny>, side: Side) -> PyResult<bool> {
    let py = this.py();
    let host = this.get();
    let fd = descriptor(file)?;
    let Some(poller) = poller(py, host) else {
        return Ok(false);
    };
    let fd = match checked(fd) {
        // No descriptor has such a number, so none is watched.
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Ok(false),
        fd => fd?,
    };
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let displaced = host.agenda.with(py, |agenda| match side {
        Side::Reader => agenda.watched.take_reader(fd),
        Side::Writer => agenda.watched.take_writer(fd),
    });
    if displaced.is_none() {
        return Ok(false);
    }
    let wanted = side.removed(before);
    // A descriptor that is closed by now has left the kernel's set by itself.
    let _ = if wanted.is_none() {
        poller.selector.unregister(fd)
    } else {
        poller.selector.modify(fd, wanted)
    };
    cancel(py, displaced)?;
    Ok(true)
}

fn poller(py: Python<'_>, host: &EventLoop) -> Option<Arc<Poller>> {
    host.poller.with(py, |poller| poller.clone())
}

/// Takes both sides of a descriptor out of the table.
fn forget(py: Python<'_>, host: &EventLoop, fd: i32) {
    let displaced = host
        .agenda
        .with(py, |agenda| [agenda.watched.take_reader(fd), agenda.watched.take_writer(fd)]);
    for entry in displaced.into_iter().flatten() {
        entry.object.drop_ref(py);
    }
}

/// Cancels a handle that was displaced.
fn cancel(py: Python<'_>, displaced: Option<Entry>) -> PyResult<()> {
    let Some(entry) = displaced else {
        return Ok(());
    };
    let object = entry.object.into_bound(py);
    if kind::cast::<Handle>(&object).is_some() {
        object.call_method0(intern!(py, "cancel"))?;
    }
    Ok(())
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
