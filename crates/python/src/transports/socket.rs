//! The transport of a connection: asyncio's `_SelectorSocketTransport`.
//!
//! A server makes it natively for a connection that it accepted (see `accept.rs`); here it is made
//! by Python, around a Python socket, which stays its file: who has that may ask it for options, or
//! close it, and is then not spoken for.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, SocketTransport, owners};
use batonloop_cpython::method::TypeSlot;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyTuple, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use super::life;
use super::{
    ABOVE, BUFFERED, CLOSING, HAS_OWN_CONTEXT, HAS_PROTOCOL, IS_DIRECT, LENT, PATCHED, Transport,
    TransportKind, check_loop, check_new, class, read,
};
use crate::mixins::is_one_of;
use crate::names::{self, none};
use crate::parameters::Parameters;

impl TransportKind for SocketTransport {
    fn read(this: Transport<'_, '_>) -> PyResult<()> {
        this.read()
    }

    fn write(this: Transport<'_, '_>) -> PyResult<()> {
        this.write_backlog()
    }
}

/// What one is made of. Since 3.15 a connection may have one context for all.
#[cfg(Py_3_15)]
const PARAMETERS: Parameters<7> = Parameters {
    class: "_SelectorSocketTransport",
    names: ["loop", "sock", "protocol", "waiter", "extra", "server", "context"],
    required: 3,
};
/// See above.
#[cfg(not(Py_3_15))]
const PARAMETERS: Parameters<6> = Parameters {
    class: "_SelectorSocketTransport",
    names: ["loop", "sock", "protocol", "waiter", "extra", "server"],
    required: 3,
};

fn init<'py>(
    this: &Bound<'py, SocketTransport>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let [event_loop, sock, protocol, waiter, extra, server, more @ ..] =
        PARAMETERS.parse(args, kwargs)?;
    let py = this.py();
    let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
        return Ok(());
    };
    let transport = Transport::of(this);
    let fields = transport.fields;
    transport.take_socket(&event_loop, &sock, extra)?;
    transport.set_protocol(&protocol)?;
    transport.set_default_limits();
    if let Some(server) = server {
        transport.attach_to(server)?;
    }
    owners::remember(this);
    names::SET_NODELAY.get(py)?.call1((sock,))?;
    if let Some(context) = more.into_iter().flatten().next() {
        fields.add(HAS_OWN_CONTEXT);
        fields.context.set(context);
    }
    life::begin(this, &event_loop, waiter)
}

impl<'py> Transport<'_, 'py> {
    /// What every transport on a Python socket does first.
    pub(super) fn take_socket(
        self,
        event_loop: &Bound<'py, PyAny>,
        sock: &Bound<'py, PyAny>,
        extra: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = self.py();
        check_loop(event_loop)?;
        check_new(self)?;
        self.fields.event_loop.set(event_loop.clone());
        let extra = extra.unwrap_or_else(|| PyDict::new(py).into_any());
        fill_extra(&extra, sock)?;
        self.fields.extra.set(extra);
        self.fields.open(sock.call_method0(intern!(py, "fileno"))?.extract()?);
        self.fields.set_file(sock.clone());
        Ok(())
    }

    /// Hands over to a protocol, which may be one that lends its own memory.
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

/// A name of the socket's, or None: a socket that is not connected has no peer.
fn name_or_none<'py>(sock: &Bound<'py, PyAny>, method: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = sock.py();
    match sock.call_method0(method) {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => Ok(none(py)),
        name => name,
    }
}

/// Whether others may watch the descriptor of a transport for now.
pub(crate) fn is_lent(transport: &Bound<'_, PyAny>) -> bool {
    kind::cast::<SocketTransport>(transport).is_some_and(|it| it.fields().has(LENT))
}

/// An object as a transport of exactly our class, on which nobody has set a method.
#[inline]
pub(crate) fn as_plain<'a, 'py>(
    object: &'a Bound<'py, PyAny>,
) -> Option<&'a Bound<'py, SocketTransport>> {
    kind::cast_exact::<SocketTransport>(object).filter(|this| !this.fields().has(PATCHED))
}

/// `is_closing()`.
#[inline]
pub(crate) fn is_closing(this: &Bound<'_, SocketTransport>) -> bool {
    this.fields().has(CLOSING)
}

/// Whoever sets a method on the transport itself is asked for it.
fn look_on<'py>(this: &Bound<'py, SocketTransport>, name: &Bound<'py, PyAny>) {
    if is_one_of(name, &["write", "is_closing"]) {
        this.fields().add(PATCHED);
    }
}

/// Writes without a call through Python.
pub(crate) fn write<'py>(
    this: &Bound<'py, SocketTransport>,
    data: &Bound<'py, PyAny>,
) -> PyResult<()> {
    Transport::of(this).write(data)
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let name = c"batonloop.selector_events._SelectorSocketTransport";
    let made = TypeBuilder::<SocketTransport>::new(name, DOC)
        .methods(class::common_methods())
        .methods(class::reading_methods())
        .methods(class::limiting_methods())
        .methods(class::stream_methods())
        .properties(class::common_properties())
        .properties(class::socket_properties())
        .properties(class::limiting_properties())
        .properties(class::stream_properties())
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(class::repr::<SocketTransport>),
            TypeSlot::finalize(class::finalize::<SocketTransport>),
            TypeSlot::set_attribute(look_on),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .build(&bases(py, &[names::FLOW_CONTROL_MIXIN.get(py)?])?)?;
    made.setattr("max_size", read::MAX_SIZE)?;
    made.setattr("_start_tls_compatible", true)?;
    made.setattr("_sendfile_compatible", names::SENDFILE_MODE.get(py)?.getattr("TRY_NATIVE")?)?;
    Ok(made)
}

const DOC: &std::ffi::CStr = c"The transport of a connection: a TCP or UNIX stream socket.";
