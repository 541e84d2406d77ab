//! The transport of a pipe's writing end: asyncio's `_UnixWritePipeTransport`.
//!
//! The end is watched by its reader too: there is nothing to read from it, but the kernel rouses
//! the reader when nobody is left at the other end.
//!
//! asyncio can lose such a pipe twice (closed, then aborted), forgets what is written and closed
//! in one `resume_writing()`, and counts the items of a view for its bytes. Here the loss is told
//! once, what was written before `close()` is written, and bytes are counted.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{Fields, WritePipeTransport};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot};
use batonloop_sys::pipe::{self, FileKind};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyBytes, PyBytesMethods, PyDict, PyTuple, PyType,
};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python};

use super::write::{Content, is_bytes_like};
use super::{CLOSING, LOST, Transport, TransportKind, WRITING, class, pipe as pipes};
use crate::exceptions;
use crate::names::{self, boolean, none};
use crate::selector_events::Side;

/// The kernel tells when the other end is gone: not of a character device.
const HEARS_END: u32 = 1 << 16;

/// What is logged of a write to a pipe that is lost.
const LOST_WRITE: &str = "pipe closed by peer or os.write(pipe, data) raised exception.";
/// What the exception handler is told when the kernel refuses.
const FATAL: &str = "Fatal write error on pipe transport";

impl TransportKind for WritePipeTransport {
    const COUNTS_LOSS: bool = false;

    fn start_reading(this: Transport<'_, '_>) -> PyResult<()> {
        this.watch_other_end()
    }

    fn read(this: Transport<'_, '_>) -> PyResult<()> {
        this.other_end_is_gone()
    }

    fn write(this: Transport<'_, '_>) -> PyResult<()> {
        this.write_pipe_backlog()
    }

    fn close(this: Transport<'_, '_>) -> PyResult<()> {
        this.close_pipe()
    }
}

impl<'py> Transport<'_, 'py> {
    // The other end.

    fn watch_other_end(self) -> PyResult<()> {
        if !self.fields.has(HEARS_END) || self.fields.has(LOST) {
            return Ok(());
        }
        let Some(event_loop) = self.event_loop() else {
            return Ok(());
        };
        self.watch(&event_loop, Side::Reader)
    }

    fn other_end_is_gone(self) -> PyResult<()> {
        self.log_closed_by_peer()?;
        if self.fields.backlog.is_empty() {
            return self.force_close(None);
        }
        let broken = PyBrokenPipeError::new_err(()).into_value(self.py());
        self.force_close(Some(broken.into_bound(self.py()).into_any()))
    }

    // Writing.

    /// `write(data)`.
    fn write_pipe(self, data: &Bound<'py, PyAny>) -> PyResult<()> {
        if !is_bytes_like(data) {
            return Err(PyAssertionError::new_err(data.repr()?.unbind()));
        }
        if !data.is_truthy()? {
            return Ok(());
        }
        if self.fields.conn_lost.get() != 0 || self.fields.has(CLOSING) {
            return self.count_lost_write(LOST_WRITE);
        }
        let content = match Content::of(data) {
            Ok(content) => content,
            Err(error) if !self.fields.backlog.is_empty() => return Err(error),
            Err(error) => return self.pipe_write_failed(error),
        };
        match self.offer(&content, pipe::write) {
            Ok(Some(count)) if count == content.len() => Ok(()),
            Ok(written) => self.write_later(content, written.unwrap_or(0)),
            Err(error) => {
                drop(content);
                self.pipe_write_failed(error)
            }
        }
    }

    fn pipe_write_failed(self, error: PyErr) -> PyResult<()> {
        if exceptions::is_exit(&error, self.py()) {
            return Err(error);
        }
        self.fields.conn_lost.set(self.fields.conn_lost.get() + 1);
        self.fatal_error(error, FATAL)
    }

    /// The writer is roused.
    fn write_pipe_backlog(self) -> PyResult<()> {
        match self.offer_backlog(pipe::write, pipe::write_vectored) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if exceptions::is_exit(&error, self.py()) => return Err(error),
            Err(error) => {
                self.stop_writing();
                self.forget_backlog();
                return self.pipe_write_failed(error);
            }
        }
        if !self.fields.backlog.is_empty() {
            return Ok(());
        }
        self.stop_writing();
        // The protocol may write again when it is told to go on.
        self.maybe_resume_protocol()?;
        if self.fields.has(CLOSING) && self.fields.backlog.is_empty() {
            self.stop_reading();
            return self.lose_now();
        }
        Ok(())
    }

    /// `close()`, `write_eof()`: what waits is written, and the other end stays watched meanwhile.
    fn close_pipe(self) -> PyResult<()> {
        if self.fields.has(CLOSING) {
            return Ok(());
        }
        self.fields.add(CLOSING);
        if self.fields.backlog.is_empty() { self.force_close(None) } else { Ok(()) }
    }
}

// As Python sees it.

/// `_UnixWritePipeTransport(loop, pipe, protocol, waiter=None, extra=None)`.
fn init<'py>(
    this: &Bound<'py, WritePipeTransport>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let refused = "Pipe transport is only for pipes, sockets and character devices";
    pipes::init(this, args, kwargs, "_UnixWritePipeTransport", refused, |transport, kind| {
        if kind != FileKind::CharacterDevice {
            transport.fields.add(HEARS_END);
        }
    })
}

fn write<'py>(
    this: &Bound<'py, WritePipeTransport>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).write_pipe(args.only("write", "data")?)?;
    Ok(none(this.py()))
}

fn write_eof<'py>(this: &Bound<'py, WritePipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).close_pipe()?;
    Ok(none(this.py()))
}

fn can_write_eof<'py>(this: &Bound<'py, WritePipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), true))
}

fn write_ready<'py>(this: &Bound<'py, WritePipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).write_pipe_backlog()?;
    Ok(none(this.py()))
}

/// `_buffer`: a copy of what waits.
fn read_buffer<'py>(this: &Bound<'py, WritePipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let mut rest = Vec::with_capacity(this.fields().unwritten.get());
    if let Some(backlog) = this.fields().backlog.get(py) {
        for entry in backlog.try_iter()? {
            rest.extend_from_slice(entry?.cast::<PyBytes>()?.as_bytes());
        }
    }
    let written = this.fields().written.get().min(rest.len());
    Ok(PyByteArray::new(py, &rest[written..]).into_any())
}

fn repr<'py>(this: &Bound<'py, WritePipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    let transport = Transport::of(this);
    let (mut text, is_live) = transport.pipe_repr();
    if is_live {
        let shown = if transport.fields.has(WRITING) { "polling" } else { "idle" };
        text.push_str(&format!(" {shown} bufsize={}", transport.fields.unwritten.get()));
    }
    text.push('>');
    Ok(text.into_pyobject(this.py())?.into_any())
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let name = c"batonloop.unix_events._UnixWritePipeTransport";
    TypeBuilder::<WritePipeTransport>::new(name, DOC)
        .methods(class::common_methods())
        .methods(class::limiting_methods())
        .methods([
            Method::args(c"write", WRITE_DOC, write),
            Method::no_args(c"write_eof", c"Close, once everything is written.", write_eof),
            Method::no_args(c"can_write_eof", c"Return True: it closes the pipe.", can_write_eof),
            class::force_close_method(c"_close"),
            Method::no_args(c"_write_ready", c"Write what waits, once.", write_ready),
        ])
        .properties(class::common_properties())
        .properties(pipes::properties())
        .properties(class::limiting_properties())
        .properties([Property::read(c"_buffer", c"What is still to be written.", read_buffer)])
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(repr),
            TypeSlot::finalize(class::finalize::<WritePipeTransport>),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .build(&bases(py, &[names::FLOW_CONTROL_MIXIN.get(py)?, names::WRITE_TRANSPORT.get(py)?])?)
}

const DOC: &std::ffi::CStr = c"The transport of a pipe's writing end, or what stands for one.";
const WRITE_DOC: &std::ffi::CStr = c"\
    write(data)\n\nWrite bytes, a bytearray or a memoryview.\n\nWhat the pipe does not take at \
    once is kept, and copied if it can change.";
