//! What is still to be written, and writing it.
//!
//! A write goes to the kernel at once. What it does not take waits in a list of bytes objects, of
//! which the first may be written in part. Memory that its owner may change is copied as soon as
//! it has to wait, where asyncio (since 3.12) keeps hold of it and sends what stands there later.

use std::io::{self, IoSlice};

use batonloop_cpython::buffer::View;
use batonloop_sys::socket;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyBytes, PyBytesMethods, PyList, PyListMethods, PyMemoryView,
};
use pyo3::{Bound, PyErr, PyResult, intern};

use super::{CLOSING, EOF, Transport, WRITING};
use crate::exceptions;
use crate::interrupted::unless_it_waits;
use crate::names;

/// After so many writes to a lost connection, each further one is logged.
const LOG_THRESHOLD: usize = 5;
/// What is logged then.
pub(super) const LOST_WRITE: &str = "socket.send() raised exception.";
/// What the exception handler is told when the kernel refuses.
const FATAL: &str = "Fatal write error on socket transport";
/// So many entries are offered to the kernel at once.
const MOST_PIECES: usize = 1024;

/// What is to be written, where it stands.
pub(super) enum Content<'a, 'py> {
    /// Bytes, which nobody can change, and what is in them.
    Bytes(&'a Bound<'py, PyBytes>, &'a [u8]),
    /// The memory of anything else.
    View(View<'py>),
}

impl<'a, 'py> Content<'a, 'py> {
    /// The content of anything bytes-like.
    ///
    /// BufferError for memory in several pieces, or what a `__buffer__` of Python's raises.
    #[inline]
    pub(super) fn of(data: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        match data.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes, bytes.as_bytes())),
            Err(_) => View::read(data).map(Self::View),
        }
    }

    /// How many bytes there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(_, content) => content.len(),
            Self::View(view) => view.len(),
        }
    }

    /// Shows it to `leaf`, which calls no Python and gives it to the kernel without a look at it.
    #[inline]
    pub(super) fn show<R>(&self, leaf: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Bytes(_, content) => leaf(content),
            Self::View(view) => view.show(leaf),
        }
    }
}

impl<'py> Transport<'_, 'py> {
    /// `write(data)`.
    #[inline]
    pub(super) fn write(self, data: &Bound<'py, PyAny>) -> PyResult<()> {
        let fields = self.fields;
        let Ok(bytes) = data.cast_exact::<PyBytes>() else {
            return self.write_any(data);
        };
        if fields.has(EOF) || !fields.empty_waiter.is_empty() {
            return Err(self.refused("write"));
        }
        let content = bytes.as_bytes();
        if content.is_empty() {
            return Ok(());
        }
        if fields.conn_lost.get() != 0 {
            return self.count_lost_write(LOST_WRITE);
        }
        self.write_content(Content::Bytes(bytes, content))
    }

    /// The same for what is not exactly bytes.
    #[cold]
    fn write_any(self, data: &Bound<'py, PyAny>) -> PyResult<()> {
        let fields = self.fields;
        if !is_bytes_like(data) {
            return Err(not_bytes(data));
        }
        if fields.has(EOF) || !fields.empty_waiter.is_empty() {
            return Err(self.refused("write"));
        }
        if !data.is_truthy()? {
            return Ok(());
        }
        if fields.conn_lost.get() != 0 {
            return self.count_lost_write(LOST_WRITE);
        }
        match View::read(data) {
            Ok(view) => self.write_content(Content::View(view)),
            // Memory in several pieces; to asyncio that is an error of the socket.
            Err(error) => self.fatal_error(error, FATAL),
        }
    }

    #[inline(always)]
    fn write_content(self, content: Content<'_, 'py>) -> PyResult<()> {
        match self.offer(&content, socket::send) {
            Ok(Some(count)) if count == content.len() => Ok(()),
            Ok(sent) => self.write_later(content, sent.unwrap_or(0)),
            Err(error) => {
                drop(content);
                self.fatal_error(error, FATAL)
            }
        }
    }

    /// Gives to the kernel as much as it takes now: how much that is, or nothing if it takes none.
    ///
    /// Nothing if other bytes wait, too: they come first. The handler of a signal may have written
    /// them, so this is asked before each attempt.
    #[inline(always)]
    pub(super) fn offer(
        self,
        content: &Content<'_, 'py>,
        send: fn(i32, &[u8]) -> io::Result<usize>,
    ) -> PyResult<Option<usize>> {
        let py = self.py();
        unless_it_waits(py, || {
            if !self.fields.backlog.is_empty() {
                return Err(not_now());
            }
            let fd = self.fields.open_descriptor(py);
            content.show(|bytes| send(fd, bytes))
        })
    }

    /// `writelines(pieces)`: up to 3.11 a write of them all.
    #[cfg(not(Py_3_12))]
    pub(super) fn write_lines(self, pieces: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        self.write(&PyBytes::new(py, b"").call_method1(intern!(py, "join"), (pieces,))?)
    }

    /// `writelines(pieces)`: all of them in one call to the kernel, if it takes them.
    #[cfg(Py_3_12)]
    pub(super) fn write_lines(self, pieces: &Bound<'py, PyAny>) -> PyResult<()> {
        use pyo3::exceptions::PyBufferError;

        let py = self.py();
        let fields = self.fields;
        if fields.has(EOF) || !fields.empty_waiter.is_empty() {
            return Err(self.refused("writelines"));
        }
        if !pieces.is_truthy()? {
            return Ok(());
        }
        if fields.conn_lost.get() != 0 {
            return self.count_lost_write(LOST_WRITE);
        }
        let mut kept = Vec::new();
        for piece in pieces.try_iter()? {
            match own(&piece?) {
                Ok(bytes) => kept.push(bytes),
                // A memory in pieces of its own: the kernel would be asked for it in vain.
                Err(error) if error.is_instance_of::<PyBufferError>(py) => {
                    return self.fatal_error(error, FATAL);
                }
                Err(error) => return Err(error),
            }
        }
        for bytes in kept {
            self.keep(bytes, 0)?;
        }
        if fields.backlog.is_empty() {
            return Ok(());
        }
        self.write_backlog()?;
        if fields.backlog.is_empty() || fields.conn_lost.get() != 0 {
            return Ok(());
        }
        if !fields.has(WRITING) {
            self.start_writing()?;
        }
        self.maybe_pause_protocol()
    }

    /// `write_eof()`.
    pub(super) fn write_eof(self) -> PyResult<()> {
        if self.fields.has(CLOSING | EOF) {
            return Ok(());
        }
        self.fields.add(EOF);
        if self.fields.backlog.is_empty() { self.shut_down() } else { Ok(()) }
    }

    /// Half-closes: the other side reads the end.
    fn shut_down(self) -> PyResult<()> {
        socket::shutdown_write(self.fields.open_descriptor(self.py()))
            .map_err(|error| exceptions::os_error(&error, self.py()))
    }

    /// The writer is roused, or `writelines()` has put something into the backlog.
    pub(super) fn write_backlog(self) -> PyResult<()> {
        let py = self.py();
        let fields = self.fields;
        if fields.conn_lost.get() != 0 {
            return Ok(());
        }
        match self.offer_backlog(socket::send, socket::send_vectored) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if exceptions::is_exit(&error, py) => return Err(error),
            Err(error) => {
                self.stop_writing();
                self.forget_backlog();
                let told = error.clone_ref(py);
                self.fatal_error(error, FATAL)?;
                if let Some(waiter) = fields.empty_waiter.get(py) {
                    waiter.call_method1(intern!(py, "set_exception"), (told.into_value(py),))?;
                }
                return Ok(());
            }
        }
        // The protocol may write again when it is told to go on: the backlog is looked at after it.
        self.maybe_resume_protocol()?;
        if !fields.backlog.is_empty() {
            return Ok(());
        }
        self.stop_writing();
        if let Some(waiter) = fields.empty_waiter.get(py) {
            waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        if fields.has(CLOSING) {
            return self.lose_now();
        }
        if fields.has(EOF) {
            return self.shut_down();
        }
        Ok(())
    }

    /// Offers the backlog to the kernel, once, and takes off what it took: a single entry is sent
    /// with `one`, several with `many`. Says whether it took anything.
    pub(super) fn offer_backlog(
        self,
        one: fn(i32, &[u8]) -> io::Result<usize>,
        many: fn(i32, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> PyResult<bool> {
        // The handler of a signal may have written more, or dropped all.
        let offered = unless_it_waits(self.py(), || match self.offer_backlog_once(one, many) {
            Ok(offered) => offered.map(Ok),
            Err(error) => Ok(Err(error)),
        })?;
        offered.map_or(Ok(false), |taken_off| taken_off.map(|()| true))
    }

    fn offer_backlog_once(
        self,
        one: fn(i32, &[u8]) -> io::Result<usize>,
        many: fn(i32, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> PyResult<io::Result<()>> {
        let py = self.py();
        let fields = self.fields;
        let fd = fields.open_descriptor(py);
        let Some(backlog) = fields.backlog.get(py) else {
            return Ok(Ok(()));
        };
        let backlog = backlog.cast::<PyList>()?;
        let entries: Vec<Bound<'py, PyBytes>> = backlog
            .iter()
            .take(MOST_PIECES)
            .map(|entry| Ok(entry.cast_into::<PyBytes>()?))
            .collect::<PyResult<_>>()?;
        let written = fields.written.get();
        let sent = if let [only] = entries.as_slice() {
            one(fd, &only.as_bytes()[written..])
        } else {
            let mut pieces: Vec<IoSlice<'_>> =
                entries.iter().map(|entry| IoSlice::new(entry.as_bytes())).collect();
            if let Some(first) = pieces.first_mut() {
                first.advance(written);
            }
            many(fd, &pieces)
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return Ok(Err(error)),
        };
        fields.unwritten.set(fields.unwritten.get() - sent);
        // From here on no call can come in between: the counts belong to the list as it was sent.
        let mut rest = written + sent;
        let mut finished = 0;
        for entry in &entries {
            let len = entry.as_bytes().len();
            if rest < len {
                break;
            }
            rest -= len;
            finished += 1;
        }
        fields.written.set(rest);
        if finished == backlog.len() {
            fields.backlog.clear(py);
        } else if finished > 0 {
            backlog.del_slice(0, finished)?;
        }
        Ok(Ok(()))
    }

    /// Puts an entry into the backlog, of which some bytes are written already: then nothing else
    /// is in the backlog.
    fn keep(self, bytes: Bound<'py, PyBytes>, written: usize) -> PyResult<()> {
        let py = self.py();
        let fields = self.fields;
        let len = bytes.as_bytes().len();
        if len == written {
            return Ok(());
        }
        match fields.backlog.get(py) {
            Some(backlog) => backlog.cast::<PyList>()?.append(bytes)?,
            None => {
                fields.backlog.set(PyList::new(py, [bytes])?.into_any());
                fields.written.set(written);
            }
        }
        fields.unwritten.set(fields.unwritten.get() + len - written);
        Ok(())
    }

    /// Keeps what the kernel did not take, unless the writer cannot be watched.
    #[cold]
    pub(super) fn write_later(self, content: Content<'_, 'py>, written: usize) -> PyResult<()> {
        let (bytes, written) = match &content {
            Content::Bytes(bytes, _) => ((*bytes).clone(), written),
            // The owner may change or free the rest before it is sent.
            Content::View(view) => (view.copy_from(written)?, 0),
        };
        // To let go of the view, of the context or of another's watch may run anything, which may
        // write, too: these bytes come first.
        let mut displaced = None;
        let context = if self.fields.has(WRITING) {
            None
        } else {
            let context = self.fields.write_context.take(self.py());
            displaced = self.begin_to_write()?;
            context
        };
        self.keep(bytes, written)?;
        drop(content);
        drop(context);
        if let Some(displaced) = displaced {
            displaced.cancel(self.py())?;
        }
        self.maybe_pause_protocol()
    }

    /// A write to a connection that is lost: nothing happens, but many are logged.
    #[cold]
    pub(super) fn count_lost_write(self, text: &str) -> PyResult<()> {
        let py = self.py();
        let count = self.fields.conn_lost.get();
        if count >= LOG_THRESHOLD {
            let warning = names::LOGGER.get(py)?.getattr(intern!(py, "warning"))?;
            warning.call1((text,))?;
        }
        self.fields.conn_lost.set(count + 1);
        Ok(())
    }

    /// The error of a write that can never be taken.
    #[cold]
    fn refused(self, method: &str) -> PyErr {
        if self.fields.has(EOF) {
            return PyRuntimeError::new_err(format!("Cannot call {method}() after write_eof()"));
        }
        PyRuntimeError::new_err(format!("unable to {method}; sendfile is in progress"))
    }
}

/// Bytes that nobody can change: the object itself, or a copy.
#[cfg(Py_3_12)]
fn own<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let memory = PyMemoryView::from(data)?;
    let view = View::read(memory.as_any())?;
    view.copy_from(0)
}

#[cold]
fn not_now() -> io::Error {
    io::Error::from_raw_os_error(socket::EAGAIN)
}

/// Whether it is of a type that transports write.
pub(super) fn is_bytes_like(data: &Bound<'_, PyAny>) -> bool {
    data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
}

#[cold]
fn not_bytes(data: &Bound<'_, PyAny>) -> PyErr {
    #[cfg(Py_3_14)]
    const EXPECTED: &str = "bytes, bytearray, or memoryview object";
    #[cfg(not(Py_3_14))]
    const EXPECTED: &str = "bytes-like object";
    let class = batonloop_cpython::verify::class_name(data);
    PyTypeError::new_err(format!("data argument must be a {EXPECTED}, not '{class}'"))
}
