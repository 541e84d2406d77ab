//! The transport of a connection: asyncio's `_SelectorSocketTransport`.
//!
//! asyncio queues three handles when one is made: `connection_made`, then the reader, then whoever
//! waits for the connection. They stand one behind the other, so nothing can come between them,
//! and one entry with the verb [`CONNECT`] does the same.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, SocketTransport, owners};
use batonloop_cpython::method::{TypeSlot, missing};
use batonloop_cpython::{Outcome, call, context, verify};
use pyo3::exceptions::PyImportError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyTuple, PyTupleMethods, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use super::{
    ABOVE, BUFFERED, HAS_OWN_CONTEXT, HAS_PROTOCOL, IS_DIRECT, READING, Transport, TransportKind,
    Verbs, WRITING, check_loop, class, describe, never_cancelled, read, report_callback, run_in,
};
use crate::exceptions;
use crate::host::{EventLoop, Verb};
use crate::names::{self, none};

type PyTransport<'py> = Bound<'py, SocketTransport>;

/// A connection has something to read.
static READ: Verb = Verb {
    name: "read",
    run: |object, _| run_ready(&object, READING, "_read_ready"),
    is_cancelled: never_cancelled,
    describe: |object| describe(object, "_read_ready"),
};

/// A connection can be written to again.
static WRITE: Verb = Verb {
    name: "write",
    run: |object, _| run_ready(&object, WRITING, "_write_ready"),
    is_cancelled: never_cancelled,
    describe: |object| describe(object, "_write_ready"),
};

/// A connection is made.
static CONNECT: Verb = Verb {
    name: "connect",
    run: |object, _| run_connect(&object),
    is_cancelled: never_cancelled,
    describe: |object| describe(object, "_connection_made"),
};

/// A connection is lost.
static LOSE: Verb = Verb {
    name: "lose",
    run: |object, _| run_lose(&object),
    is_cancelled: never_cancelled,
    describe: |object| describe(object, "_call_connection_lost"),
};

impl TransportKind for SocketTransport {
    const VERBS: &'static Verbs = &Verbs { read: &READ, write: &WRITE, lose: &LOSE };
}

/// A queued object as what its verb expects.
fn cast<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a PyTransport<'py>> {
    if let Some(this) = kind::cast_exact::<SocketTransport>(object) {
        return Ok(this);
    }
    kind::cast::<SocketTransport>(object).ok_or_else(|| exceptions::stranger(object))
}

/// Reads or writes, in the context in which that was begun.
#[inline]
fn run_ready(object: &Bound<'_, PyAny>, side: u32, method: &str) -> Outcome {
    let this = Transport::of(cast(object)?);
    // It may have left the table after the event was heard.
    if !this.fields.has(side) {
        return Ok(());
    }
    if side == READING {
        run_in(this, this.fields.context.get(this.py()), method, || this.read())
    } else {
        let context = this.fields.write_context.get(this.py());
        run_in(this, context, method, || this.write_backlog())
    }
}

/// Tells the protocol of its connection, begins to read, and lets go on who waits for it: three
/// handles in asyncio, one behind the other.
fn run_connect(object: &Bound<'_, PyAny>) -> Outcome {
    let py = object.py();
    let this = Transport::of(cast(object)?);
    let Some(event_loop) = this.event_loop() else {
        return Ok(());
    };
    let told = tell_of_connection(this, &event_loop);
    let began = this.start_reading();
    if let Err(error) = began {
        let callback = object.getattr(intern!(py, "_add_reader"))?;
        report_callback(&event_loop, &callback, &[], error)?;
    }
    let released = match this.fields.waiter.take(py) {
        Some(waiter) => release(&waiter),
        None => Ok(()),
    };
    told?;
    Ok(released?)
}

/// Calls `connection_made` in a context of its own: what it sets there the reader does not see.
fn tell_of_connection<'py>(this: Transport<'_, 'py>, event_loop: &Bound<'py, PyAny>) -> Outcome {
    let py = this.py();
    let (Some(context), Some(protocol)) =
        (this.fields.context.get(py), this.fields.protocol.get(py))
    else {
        return Ok(());
    };
    let context =
        if this.fields.has(HAS_OWN_CONTEXT) { context } else { context::copy_of(&context)? };
    let told = context::enter(&context, |_| {
        call::method1(&protocol, intern!(py, "connection_made"), this.object).map(drop)
    });
    let Err(error) = told else {
        return Ok(());
    };
    let callback = protocol.getattr(intern!(py, "connection_made"))?;
    report_callback(event_loop, &callback, &[this.object.clone()], *error)
}

/// Lets go on who waits for the connection to be made.
fn release(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    if !waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

/// Tells of the loss, in a copy of the context of whoever caused it.
fn run_lose(object: &Bound<'_, PyAny>) -> Outcome {
    let py = object.py();
    let this = Transport::of(cast(object)?);
    let exception = this.fields.exception.take(py).unwrap_or_else(|| none(py));
    let context = this.fields.write_context.take(py);
    run_in(this, context, "_call_connection_lost", || this.call_connection_lost(&exception))
}

// Making one.

/// `_SelectorSocketTransport(loop, sock, protocol, waiter=None, extra=None, server=None,
/// context=None)`.
fn init<'py>(
    this: &PyTransport<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    const NAMES: [&str; 7] = ["loop", "sock", "protocol", "waiter", "extra", "server", "context"];
    let py = this.py();
    let mut found: [Option<Bound<'py, PyAny>>; 7] = Default::default();
    for (place, argument) in found.iter_mut().zip(args.iter_borrowed()) {
        *place = Some(argument.to_owned());
    }
    for (name, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        let Some(place) = NAMES.iter().position(|known| name.eq(known).unwrap_or(false)) else {
            return Err(batonloop_cpython::method::unexpected("__init__", &name.to_string()));
        };
        found[place] = Some(value);
    }
    let [event_loop, sock, protocol, waiter, extra, server, context] =
        found.map(|argument| argument.filter(|argument| !argument.is_none()));
    let event_loop = event_loop.ok_or_else(|| missing("__init__", "loop", 1))?;
    let sock = sock.ok_or_else(|| missing("__init__", "sock", 2))?;
    let transport = Transport::of(this);
    check_loop(&event_loop)?;
    let fields = transport.fields;
    fields.event_loop.set(event_loop.clone());
    let extra = match extra {
        Some(extra) => extra,
        None => PyDict::new(py).into_any(),
    };
    fill_extra(&extra, &sock)?;
    fields.extra.set(extra);
    fields.open(sock.call_method0(intern!(py, "fileno"))?.extract()?);
    fields.set_file(sock.clone());
    transport.set_protocol(&protocol.unwrap_or_else(|| none(py)))?;
    transport.set_default_limits();
    if let Some(server) = server {
        transport.attach_to(server)?;
    }
    owners::remember(this);
    names::SET_NODELAY.get(py)?.call1((sock,))?;
    if let Some(context) = context {
        fields.add(HAS_OWN_CONTEXT);
        fields.context.set(context);
    }
    begin(this, &event_loop, waiter)
}

/// What `get_extra_info()` knows of a socket, as asyncio asks for it.
fn fill_extra<'py>(extra: &Bound<'py, PyAny>, sock: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = sock.py();
    extra.set_item(intern!(py, "socket"), names::TRANSPORT_SOCKET.get(py)?.call1((sock,))?)?;
    extra.set_item(intern!(py, "sockname"), name_or_none(sock, "getsockname")?)?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), name_or_none(sock, "getpeername")?)?;
    }
    Ok(())
}

fn name_or_none<'py>(sock: &Bound<'py, PyAny>, method: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = sock.py();
    match sock.call_method0(method) {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => Ok(none(py)),
        name => name,
    }
}

/// Queues what follows when a transport is made.
pub(super) fn begin<'py>(
    this: &PyTransport<'py>,
    event_loop: &Bound<'py, PyAny>,
    waiter: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = this.py();
    let transport = Transport::of(this);
    if !transport.fields.has(HAS_OWN_CONTEXT) {
        transport.fields.context.set(context::copy_current(py)?);
    }
    if let Some(host) = EventLoop::direct(event_loop) {
        if let Some(waiter) = waiter {
            transport.fields.waiter.set(waiter);
        }
        host.queue(this.as_any().clone(), &CONNECT);
        return Ok(());
    }
    let made = transport.protocol().getattr(intern!(py, "connection_made"))?;
    transport.call_soon(event_loop, (made, this.as_any()))?;
    let add_reader = this.as_any().getattr(intern!(py, "_add_reader"))?;
    let ready = this.as_any().getattr(intern!(py, "_read_ready"))?;
    transport.call_soon(event_loop, (add_reader, transport.fields.descriptor(), ready))?;
    if let Some(waiter) = waiter {
        let set_result = names::SET_RESULT_UNLESS_CANCELLED.get(py)?;
        transport.call_soon(event_loop, (set_result, waiter, py.None()))?;
    }
    Ok(())
}

impl<'py> Transport<'_, 'py> {
    pub(super) fn set_protocol(self, protocol: &Bound<'py, PyAny>) -> PyResult<()> {
        if protocol.is_instance(names::BUFFERED_PROTOCOL.get(self.py())?)? {
            self.fields.add(BUFFERED);
        } else {
            self.fields.remove(BUFFERED);
        }
        self.fields.remove(IS_DIRECT);
        if let Some(above) = ABOVE.get(self.py())
            && (above.is)(protocol)?
        {
            self.fields.add(IS_DIRECT);
        }
        self.fields.add(HAS_PROTOCOL);
        self.fields.protocol.set(protocol.clone());
        Ok(())
    }
}

/// Writes without a call through Python.
pub(crate) fn write<'py>(this: &PyTransport<'py>, data: &Bound<'py, PyAny>) -> PyResult<()> {
    Transport::of(this).write(data)
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let mixin = names::FLOW_CONTROL_MIXIN.get(py)?;
    if !verify::transports_are_as_laid_out(mixin, names::BASE_TRANSPORT.get(py)?) {
        return Err(PyImportError::new_err(
            "asyncio's transports of this Python have other slots than batonloop knows; \
             please report the Python version",
        ));
    }
    let name = c"batonloop.selector_events._SelectorSocketTransport";
    let made = TypeBuilder::<SocketTransport>::new(name, DOC)
        .methods(class::public_methods())
        .methods(class::private_methods())
        .properties(class::properties())
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(class::repr::<SocketTransport>),
            TypeSlot::finalize(class::finalize::<SocketTransport>),
        ])
        .with_dict_and_weakrefs()
        .build(&bases(py, &[mixin])?)?;
    made.setattr("max_size", read::MAX_SIZE)?;
    made.setattr("_start_tls_compatible", true)?;
    made.setattr("_sendfile_compatible", names::SENDFILE_MODE.get(py)?.getattr("TRY_NATIVE")?)?;
    Ok(made)
}

const DOC: &std::ffi::CStr = c"The transport of a connection: a TCP or UNIX stream socket.";
