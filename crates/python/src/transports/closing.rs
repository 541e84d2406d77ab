//! How a transport ends: closed, aborted, lost; and what it lets go then.
//!
//! Whatever ends it, the loss is told once: it is queued for a turn of its own, but told at once by
//! who has just written what had to be written before it. What waits is written first, unless the
//! transport was aborted or has failed.
//!
//! Only when the protocol has heard of the loss is the descriptor closed, for until then it may ask
//! for names and options. Whatever it raises, all is let go, and its exception comes out after
//! that. A server, too, counts the connection until then.

use batonloop_cpython::call;
use batonloop_cpython::kind::owners;
#[cfg(Py_3_13)]
use pyo3::exceptions::PyAssertionError;
use pyo3::exceptions::PyConnectionError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

#[cfg(Py_3_13)]
use super::clients;
use super::{CLOSING, HAS_PROTOCOL, LOST, Transport};
use crate::host::EventLoop;
#[cfg(Py_3_13)]
use crate::names;
use crate::names::none;

impl<'py> Transport<'_, 'py> {
    /// `close()`: what waits is written, then the connection is lost.
    pub(super) fn close(self) -> PyResult<()> {
        if self.fields.has(CLOSING) {
            return Ok(());
        }
        self.fields.add(CLOSING);
        self.stop_reading();
        if self.fields.backlog.is_empty() {
            self.stop_writing();
            self.lose_soon(None)?;
        }
        Ok(())
    }

    /// `abort()`, and after an error: nothing more is written.
    pub(super) fn force_close(self, exception: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        if self.fields.has(LOST) {
            return Ok(());
        }
        if !self.fields.backlog.is_empty() {
            self.forget_backlog();
            self.stop_writing();
        }
        if !self.fields.has(CLOSING) {
            self.fields.add(CLOSING);
            self.stop_reading();
        }
        self.lose_soon(exception)
    }

    pub(super) fn forget_backlog(self) {
        self.fields.unwritten.set(0);
        self.fields.written.set(0);
        self.fields.backlog.clear(self.py());
    }

    /// Queues the end.
    pub(super) fn lose_soon(self, exception: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py();
        self.fields.add(LOST);
        if self.manner.counts_loss {
            self.fields.conn_lost.set(self.fields.conn_lost.get() + 1);
        }
        let Some(event_loop) = self.event_loop() else {
            return Ok(());
        };
        let exception = exception.unwrap_or_else(|| none(py));
        if let Some(host) = EventLoop::direct(&event_loop) {
            self.keep_context(&self.fields.write_context)?;
            self.fields.exception.set(exception);
            host.queue(self.object.clone(), self.manner.lose);
            return Ok(());
        }
        let method = self.object.getattr(intern!(py, "_call_connection_lost"))?;
        self.call_soon(&event_loop, (method, exception))
    }

    /// Tells the end at once, unless it is queued: what had to be written before it is written.
    pub(super) fn lose_now(self) -> PyResult<()> {
        if self.fields.has(LOST) {
            return Ok(());
        }
        self.fields.add(LOST);
        if self.manner.counts_loss {
            self.fields.conn_lost.set(1);
        }
        self.call_connection_lost(&none(self.py()))
    }

    /// Tells the protocol that the connection is lost, and lets everything go.
    pub(super) fn call_connection_lost(self, exception: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        let fields = self.fields;
        self.stop_reading();
        self.stop_writing();
        let told = if fields.has(HAS_PROTOCOL)
            && let Some(protocol) = fields.protocol.get(py)
        {
            call::method1(&protocol, intern!(py, "connection_lost"), exception).map(drop)
        } else {
            Ok(())
        };
        let closed = self.let_go();
        let released = self.release_empty_waiter();
        told.map_err(|error| *error)?;
        closed.and(released)
    }

    /// Tells who waits until all is written that it never will be.
    fn release_empty_waiter(self) -> PyResult<()> {
        let py = self.py();
        let Some(waiter) = self.fields.empty_waiter.get(py) else {
            return Ok(());
        };
        if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
            let error = PyConnectionError::new_err("Connection is closed by peer");
            waiter.call_method1(intern!(py, "set_exception"), (error,))?;
        }
        Ok(())
    }

    /// Closes the descriptor and forgets protocol, loop and server.
    pub(super) fn let_go(self) -> PyResult<()> {
        let py = self.py();
        let fields = self.fields;
        if !fields.is_open() {
            return Ok(());
        }
        self.remember_local_name();
        owners::forget(fields);
        fields.set_closed();
        drop(fields.take_owned());
        let closed = match fields.take_file(py) {
            Some(file) => file.call_method0(intern!(py, "close")).map(drop),
            None => Ok(()),
        };
        self.forget_backlog();
        fields.protocol.clear(py);
        fields.event_loop.clear(py);
        fields.context.clear(py);
        let detached = self.detach_from_server();
        closed.and(detached)
    }

    /// Counts as one of a server's connections from now on.
    pub(super) fn attach_to(self, server: Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py();
        #[cfg(Py_3_13)]
        if let Some(clients) = clients_of(&server)? {
            if server.getattr(intern!(py, "_sockets"))?.is_none() {
                return Err(PyAssertionError::new_err(()));
            }
            clients.get().insert(self.object)?;
        } else {
            server.call_method1(intern!(py, "_attach"), (self.object,))?;
        }
        #[cfg(not(Py_3_13))]
        server.call_method0(intern!(py, "_attach"))?;
        self.fields.server.set(server);
        Ok(())
    }

    /// Counts no longer.
    fn detach_from_server(self) -> PyResult<()> {
        let py = self.py();
        let Some(server) = self.fields.server.take(py) else {
            return Ok(());
        };
        #[cfg(Py_3_13)]
        if let Some(clients) = clients_of(&server)? {
            let was_last = clients.get().remove(self.object)?;
            if was_last && server.getattr(intern!(py, "_sockets"))?.is_none() {
                server.call_method0(intern!(py, "_wakeup"))?;
            }
        } else {
            server.call_method1(intern!(py, "_detach"), (self.object,))?;
        }
        #[cfg(not(Py_3_13))]
        server.call_method0(intern!(py, "_detach"))?;
        Ok(())
    }
}

/// The connections of a server that is exactly asyncio's and keeps them in a set of ours.
#[cfg(Py_3_13)]
fn clients_of<'py>(server: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, clients::Clients>>> {
    let py = server.py();
    if !server.get_type().is(names::SERVER.get(py)?) {
        return Ok(None);
    }
    Ok(server.getattr(intern!(py, "_clients"))?.cast_into_exact().ok())
}
