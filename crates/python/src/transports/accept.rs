//! Servers: connections are accepted, and each gets a transport.
//!
//! ```text
//!   a listening socket is roused ──▶ accept: all that wait, at most as many as the backlog
//!        │ for each, in the next turn
//!        ▼
//!   open: the protocol is made ──▶ connect, in the turn after that
//! ```
//!
//! asyncio makes a task for each connection, which makes the protocol and waits until it is
//! connected; here a verb stands in the task's place in the queue. On a loop that wants to see
//! every step, for TLS, and for sockets of unusual families, asyncio's own code runs instead.

use std::os::fd::OwnedFd;

use batonloop_cpython::cell::GilSlot;
use batonloop_cpython::kind::{self, Fields, SocketTransport, owners};
use batonloop_cpython::{Outcome, context};
use batonloop_sys::socket::{self, Name};
use pyo3::exceptions::{PyConnectionAbortedError, PyOSError};
use pyo3::types::{PyAny, PyAnyMethods, PyTuple};
use pyo3::{Bound, PyResult, PyTraverseError, PyVisit, Python, intern, pyclass, pymethods};

use super::extra::descriptor_of;
use super::{
    HAS_OWN_CONTEXT, MADE, SAYS_TCP, Transport, check_loop, describe, never_cancelled,
    report_callback,
};
use crate::exceptions;
use crate::host::{Entry, EventLoop, Verb};
use crate::interrupted::unless_it_waits;
use crate::selector_events::{self, Side};

/// In one turn asyncio accepts as many connections as the backlog says, and since 3.14 one more.
#[cfg(Py_3_14)]
const MORE_THAN_BACKLOG: usize = 1;
/// See above.
#[cfg(not(Py_3_14))]
const MORE_THAN_BACKLOG: usize = 0;

/// A listening socket has connections.
static ACCEPT: Verb = Verb {
    name: "accept",
    run: |object, host| run_accept(&object, host),
    is_cancelled: never_cancelled,
    describe: |object| Ok(object.str()?.into_any()),
};

/// A connection was accepted and gets its protocol.
static OPEN: Verb = Verb {
    name: "open",
    run: |object, _| run_open(&object),
    is_cancelled: never_cancelled,
    describe: |object| describe(object, "_connection_made"),
};

/// A listening socket, as the loop watches it.
#[pyclass(frozen, name = "_Listener", module = "batonloop._batonloop")]
pub(crate) struct Listener {
    event_loop: GilSlot,
    protocol_factory: GilSlot,
    server: GilSlot,
    /// The context in which connections are accepted.
    context: GilSlot,
    /// What the socket calls itself, if that is a path: so do the connections' ends here.
    path: GilSlot,
    /// What `_start_serving()` got: asyncio's own code goes on with it where ours does not.
    arguments: GilSlot,
    /// At most so many connections are accepted in a turn.
    most: usize,
    /// Whether small writes are to go out at once: asyncio does so for TCP that calls itself so.
    is_tcp: bool,
    /// Whether every connection has one context for all.
    has_own_context: bool,
    /// The number under which it is watched. The socket may be closed by now, and the number
    /// another file's: whoever accepts asks the socket.
    watched: i32,
}

#[pymethods]
impl Listener {
    /// Accept the connections of a listening TCP or UNIX socket from now on.
    ///
    /// arguments are those of the loop's _start_serving(), in order; path is what a UNIX socket
    /// calls itself.
    #[staticmethod]
    #[pyo3(signature = (event_loop, arguments, fd, *, is_tcp, path))]
    fn start(
        event_loop: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
        fd: i32,
        is_tcp: bool,
        path: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let host = check_loop(event_loop)?;
        let (factory, _, _, server, backlog, _, _, own_context) =
            arguments.extract::<Arguments<'_>>()?;
        let listener = Self {
            event_loop: GilSlot::new(),
            protocol_factory: GilSlot::new(),
            server: GilSlot::new(),
            context: GilSlot::new(),
            path: GilSlot::new(),
            arguments: GilSlot::new(),
            most: usize::try_from(backlog).unwrap_or(0).max(1) + MORE_THAN_BACKLOG,
            is_tcp,
            has_own_context: !own_context.is_none(),
            watched: fd,
        };
        listener.event_loop.slot(py).set(event_loop.clone());
        listener.protocol_factory.slot(py).set(factory);
        listener.server.slot(py).set(server);
        let context = if own_context.is_none() { context::copy_current(py)? } else { own_context };
        listener.context.slot(py).set(context);
        listener.arguments.slot(py).set(arguments.as_any().clone());
        if let Some(path) = path {
            listener.path.slot(py).set(path);
        }
        let object = Bound::new(py, listener)?.into_any().unbind();
        let entry = Entry { object, verb: &ACCEPT };
        selector_events::watch(py, host, fd, Side::Reader, entry)?.cancel(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for slot in self.slots() {
            slot.visit(|slot| slot.visit(&visit))?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        for slot in self.slots() {
            slot.slot(py).clear(py);
        }
    }
}

/// The arguments of `_start_serving()`: protocol factory, socket, TLS, server, backlog, two
/// timeouts of TLS, context.
type Arguments<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    i64,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

impl Listener {
    fn slots(&self) -> [&GilSlot; 6] {
        [
            &self.event_loop,
            &self.protocol_factory,
            &self.server,
            &self.context,
            &self.path,
            &self.arguments,
        ]
    }
}

fn run_accept(object: &Bound<'_, PyAny>, host: &EventLoop) -> Outcome {
    let py = object.py();
    let this = object.cast::<Listener>().map_err(|_| exceptions::stranger(object))?;
    let listener = this.get();
    let slots = (listener.context.slot(py).get(py), listener.event_loop.slot(py).get(py));
    let (Some(context), Some(event_loop)) = slots else {
        return Ok(());
    };
    // The listener may have left the table after the event was heard.
    if !selector_events::is_watched_for(host, listener.watched, Side::Reader, object) {
        return Ok(());
    }
    let accepted = context::enter(&context, |_| Ok(accept_all(this, &event_loop)?));
    let Err(error) = accepted else {
        return Ok(());
    };
    let callback = event_loop.getattr(intern!(py, "_accept_connection"))?;
    let arguments = listener.arguments.slot(py).get(py);
    let arguments = arguments.map_or(Ok(Vec::new()), |it| it.try_iter()?.collect())?;
    report_callback(&event_loop, &callback, &arguments, Some(context), *error)
}

/// Accepts what waits.
fn accept_all<'py>(this: &Bound<'py, Listener>, event_loop: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = this.py();
    let listener = this.get();
    let Some(arguments) = listener.arguments.slot(py).get(py) else {
        return Ok(());
    };
    let Some(host) = EventLoop::direct(event_loop) else {
        let accept = event_loop.getattr(intern!(py, "_accept_as_asyncio"))?;
        return accept.call1((arguments,)).map(drop);
    };
    let sock = arguments.get_item(1)?;
    for _ in 0..listener.most {
        let accepted = unless_it_waits(py, || match descriptor_of(&sock) {
            Ok(fd) => socket::accept(fd).map(Ok),
            Err(error) => Ok(Err(error)),
        });
        match accepted.and_then(Option::transpose) {
            Ok(Some((fd, name))) => take(this, host, event_loop, fd, name)?,
            Ok(None) => return Ok(()),
            // It went away before it was accepted.
            // (On 3.11 only the exception itself knows of which class it is.)
            Err(error) if error.value(py).is_instance_of::<PyConnectionAbortedError>() => {}
            Err(error) if error.is_instance_of::<PyOSError>(py) => {
                let failed = event_loop.getattr(intern!(py, "_accept_failed"))?;
                return failed.call1((error.into_value(py), arguments)).map(drop);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the transport of a connection, and queues its opening.
fn take<'py>(
    this: &Bound<'py, Listener>,
    host: &EventLoop,
    event_loop: &Bound<'py, PyAny>,
    fd: OwnedFd,
    name: Name,
) -> PyResult<()> {
    let py = this.py();
    let transport = kind::allocate::<SocketTransport>(py)?;
    let fields = transport.fields();
    fields.own(fd);
    fields.add(if this.get().is_tcp { MADE | SAYS_TCP } else { MADE });
    fields.peer.set(name.pack());
    fields.event_loop.fill(event_loop.clone());
    fields.protocol.fill(this.as_any().clone());
    if let Some(path) = this.get().path.slot(py).get(py) {
        Transport::of(&transport).name_unix_ends(&path, name)?;
    }
    host.queue(transport.into_any(), &OPEN);
    Ok(())
}

/// Makes the protocol of an accepted connection, and connects them.
fn run_open(object: &Bound<'_, PyAny>) -> Outcome {
    let py = object.py();
    let transport = kind::cast::<SocketTransport>(object);
    let transport = transport.ok_or_else(|| exceptions::stranger(object))?;
    let this = Transport::of(transport);
    let Some(listener) = this.fields.protocol.take(py) else {
        return Ok(());
    };
    let listener = listener.cast::<Listener>().map_err(pyo3::PyErr::from)?;
    let Some(context) = listener.get().context.slot(py).get(py) else {
        return Ok(this.let_go()?);
    };
    let context = context::copy_of(&context)?;
    if listener.get().has_own_context {
        this.fields.add(HAS_OWN_CONTEXT);
        this.fields.context.set(context.clone());
    }
    let opened = context::enter(&context, |_| Ok(open(transport, listener.get())?));
    let Err(error) = opened else {
        return Ok(());
    };
    this.let_go()?;
    // asyncio tells of a protocol that cannot be made in debug mode only.
    if exceptions::is_exit(&error, py) { Err(error) } else { Ok(()) }
}

fn open(transport: &Bound<'_, SocketTransport>, listener: &Listener) -> PyResult<()> {
    let py = transport.py();
    let this = Transport::of(transport);
    let factory = listener.protocol_factory.slot(py).get(py);
    let (Some(factory), Some(event_loop)) = (factory, this.event_loop()) else {
        return this.let_go();
    };
    this.set_protocol(&batonloop_cpython::call::call0(&factory)?)?;
    this.set_default_limits();
    if let Some(server) = listener.server.slot(py).get(py)
        && !server.is_none()
    {
        this.attach_to(server)?;
    }
    owners::remember(transport);
    if listener.is_tcp {
        socket::set_nodelay(this.fields.open_descriptor(py))
            .map_err(|error| exceptions::os_error(&error, py))?;
    }
    super::life::begin(transport, &event_loop, None)
}
