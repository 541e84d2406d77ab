//! The transport of datagrams: asyncio's `_SelectorDatagramTransport`.
//!
//! Datagrams of IPv4 and IPv6 go straight to the kernel, with addresses that are plain numbers.
//! For any other address (a name to look up, a path) and any other family Python's socket is
//! called, as asyncio calls it. Audit hooks hear of both.
//!
//! What waits counts as its bytes and, since 3.13, eight more each. They are taken off again when
//! it is sent or dropped, which 3.13.0 and `abort()` before 3.15 forget.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::bytes;
use batonloop_cpython::call;
use batonloop_cpython::kind::{DatagramTransport, Fields, owners};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot, missing};
use batonloop_cpython::socket::cast_genuine;
use batonloop_cpython::verify::class_name;
use batonloop_sys::socket::{self, Name};
use pyo3::exceptions::{PyAttributeError, PyOSError, PyTypeError, PyValueError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyBytes, PyBytesMethods, PyDict, PyInt, PyString, PyStringMethods,
    PyTuple, PyTupleMethods, PyType,
};
use pyo3::{Bound, FromPyObject, IntoPyObject, PyErr, PyResult, Python, intern};

use super::life;
use super::write::{Content, LOST_WRITE, is_bytes_like};
use super::{CLOSING, Transport, TransportKind, class, extra, read};
use crate::exceptions;
use crate::interrupted::{unless_it_waits, unless_python_waits};
use crate::names::{self, none};
use crate::parameters::Parameters;

/// The socket is a plain one of IPv4.
const IS_V4: u32 = 1 << 16;
/// The socket is a plain one of IPv6.
const IS_V6: u32 = 1 << 17;

/// What a datagram that waits counts beyond its bytes.
#[cfg(Py_3_13)]
const HEADER: usize = 8;
#[cfg(not(Py_3_13))]
const HEADER: usize = 0;
/// Whether an empty datagram is sent.
const SENDS_EMPTY: bool = HEADER != 0;
/// What the exception handler is told when a datagram cannot be sent as it is.
const FATAL: &str = "Fatal write error on datagram transport";

impl TransportKind for DatagramTransport {
    const WRITE_READY: &'static str = "_sendto_ready";

    fn read(this: Transport<'_, '_>) -> PyResult<()> {
        this.receive_datagram()
    }

    fn write(this: Transport<'_, '_>) -> PyResult<()> {
        this.send_waiting_datagrams()
    }
}

/// What became of a datagram that was to be sent.
enum Sent {
    /// It is on its way.
    Gone,
    /// There is no room for it now.
    NotNow,
    /// The system refuses it, or an earlier one: the protocol is told.
    Refused(PyErr),
    /// It is no datagram, or has no address: that ends the transport.
    Impossible(PyErr),
}

impl Sent {
    /// What came of sending it. What leaves the loop leaves it.
    fn of<T>(sent: PyResult<Option<T>>, py: Python<'_>) -> PyResult<Self> {
        match unless_python_waits(py, sent).map(Option::flatten) {
            Ok(Some(_)) => Ok(Self::Gone),
            Ok(None) => Ok(Self::NotNow),
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(Self::Refused(error)),
            Err(error) if exceptions::is_exit(&error, py) => Err(error),
            Err(error) => Ok(Self::Impossible(error)),
        }
    }
}

impl<'py> Transport<'_, 'py> {
    // Receiving.

    /// The reader is roused: one datagram a turn.
    fn receive_datagram(self) -> PyResult<()> {
        let py = self.py();
        if self.fields.conn_lost.get() != 0 {
            return Ok(());
        }
        let received = if self.fields.has(IS_V4 | IS_V6) {
            self.receive_from_kernel()
        } else {
            self.receive_from_python()
        };
        match received {
            Ok(None) => Ok(()),
            Ok(Some(arguments)) => {
                let name = intern!(py, "datagram_received");
                self.protocol().call_method1(name, arguments).map(drop)
            }
            Err(error) if error.is_instance_of::<PyOSError>(py) => self.tell_of_error(error),
            Err(error) => self.fatal_error(error, "Fatal read error on datagram transport"),
        }
    }

    /// A datagram and who sent it, if there is one.
    fn receive_from_kernel(self) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let py = self.py();
        let received = unless_it_waits(py, || {
            let fd = self.fields.open_descriptor(py);
            read::with_hot(py, |hot| {
                let (count, name) = socket::recvfrom(fd, hot)?;
                Ok((bytes::copied(py, &hot[..count]), name))
            })
        })?;
        let Some((data, name)) = received else {
            return Ok(None);
        };
        let data = data.map_err(|error| *error)?;
        Ok(Some((data.into_any(), self.sender(name)?)))
    }

    /// Who has sent a datagram, as Python spells it: mostly whoever has sent the last one.
    fn sender(self, name: Name) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let packed = name.pack();
        if self.fields.local.get() == packed
            && let Some(sender) = self.fields.sender.get(py)
        {
            return Ok(sender);
        }
        let sender = extra::spelled(py, name)?;
        self.fields.local.set(packed);
        self.fields.sender.set(sender.clone());
        Ok(sender)
    }

    fn receive_from_python(self) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let py = self.py();
        let Some(sock) = self.fields.file(py) else {
            return Ok(None);
        };
        let received = sock.call_method1(intern!(py, "recvfrom"), (read::MAX_SIZE,));
        unless_python_waits(py, received)?.map(|received| received.extract()).transpose()
    }

    fn tell_of_error(self, error: PyErr) -> PyResult<()> {
        let py = self.py();
        let name = intern!(py, "error_received");
        let exception = batonloop_cpython::coroutine::exception_of(error, py);
        self.protocol().call_method1(name, (exception,)).map(drop)
    }

    // Sending.

    /// `sendto(data, addr=None)`.
    fn send_datagram(
        self,
        data: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = self.py();
        let fields = self.fields;
        if !is_bytes_like(data) {
            return Err(PyTypeError::new_err(format!(
                "data argument must be a bytes-like object, not '{}'",
                class_name(data)
            )));
        }
        if !SENDS_EMPTY && !data.is_truthy()? {
            return Ok(());
        }
        let mut address = address.cloned().unwrap_or_else(|| none(py));
        if let Some(only) = fields.address.get(py)
            && only.is_truthy()?
        {
            if !address.is_none() && !address.is(&only) && !address.eq(&only)? {
                let message = format!("Invalid address: must be None or {}", only.str()?);
                return Err(PyValueError::new_err(message));
            }
            if fields.conn_lost.get() != 0 {
                return self.count_lost_write(LOST_WRITE);
            }
            address = only;
        }
        if fields.backlog.is_empty() {
            match self.offer_datagram(data, &address)? {
                Sent::Gone => return Ok(()),
                Sent::NotNow => self.start_writing()?,
                Sent::Refused(error) => return self.tell_of_error(error),
                Sent::Impossible(error) => return self.fatal_error(error, FATAL),
            }
        }
        // Nobody may change what waits.
        let data = match data.cast_exact::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => py.get_type::<PyBytes>().call1((data,))?.cast_into()?,
        };
        self.put_datagram("append", &data, &address)?;
        self.maybe_pause_protocol()
    }

    /// Sends a datagram, if there is room for it.
    fn offer_datagram(
        self,
        data: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Sent> {
        let py = self.py();
        let Some(sock) = self.fields.file(py) else {
            return Err(no_loop());
        };
        let is_connected = match self.extra()?.get_item(intern!(py, "peername")) {
            Ok(peer) => peer.is_truthy()?,
            Err(error) => return Sent::of::<()>(Err(error), py),
        };
        if is_connected && self.fields.has(IS_V4 | IS_V6) {
            return self.offer_to_kernel(data, socket::send);
        }
        if !is_connected && let Some(numbers) = self.numbers(address) {
            if let Err(error) = call::audit(c"socket.sendto", &sock, address) {
                return Sent::of::<()>(Err(error), py);
            }
            return self.offer_to_kernel(data, |fd, bytes| socket::send_to(fd, bytes, numbers));
        }
        let sent = if is_connected {
            sock.call_method1(intern!(py, "send"), (data,))
        } else {
            sock.call_method1(intern!(py, "sendto"), (data, address))
        };
        Sent::of(sent.map(Some), py)
    }

    fn offer_to_kernel(
        self,
        data: &Bound<'py, PyAny>,
        send: impl Fn(i32, &[u8]) -> io::Result<usize>,
    ) -> PyResult<Sent> {
        let py = self.py();
        let content = match Content::of(data) {
            Ok(content) => content,
            Err(error) => return Ok(Sent::Impossible(error)),
        };
        let sent = unless_it_waits(py, || {
            let fd = self.fields.open_descriptor(py);
            content.show(|bytes| send(fd, bytes))
        });
        Sent::of(sent, py)
    }

    /// An address that needs no looking up, of the socket's own family.
    fn numbers(self, address: &Bound<'py, PyAny>) -> Option<SocketAddr> {
        if !self.fields.has(IS_V4 | IS_V6) {
            return None;
        }
        let tuple = address.cast_exact::<PyTuple>().ok()?;
        let host = tuple.get_item(0).ok()?;
        let host = host.cast_exact::<PyString>().ok()?.to_str().ok()?;
        let port = plain_number(tuple, 1)?;
        if self.fields.has(IS_V4) {
            let ip = host.parse::<Ipv4Addr>().ok()?;
            return (tuple.len() == 2).then(|| SocketAddr::new(IpAddr::V4(ip), port));
        }
        let ip = host.parse::<Ipv6Addr>().ok()?;
        let scope = match tuple.len() {
            2 | 3 => 0,
            4 => plain_number(tuple, 3)?,
            _ => return None,
        };
        // Information about the flow, which hardly anybody gives, is for Python to put in order.
        if tuple.len() > 2 && plain_number::<u32>(tuple, 2)? != 0 {
            return None;
        }
        Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
    }

    // What waits.

    /// Puts a datagram among those that wait: "append" at the end, "appendleft" before all others.
    fn put_datagram(
        self,
        method: &str,
        data: &Bound<'py, PyBytes>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = self.py();
        let backlog = match self.fields.backlog.get(py) {
            Some(backlog) => backlog,
            None => {
                let backlog = names::DEQUE.get(py)?.call0()?;
                self.fields.backlog.set(backlog.clone());
                backlog
            }
        };
        backlog.call_method1(method, ((data, address),))?;
        let len = data.as_bytes().len() + HEADER;
        self.fields.unwritten.set(self.fields.unwritten.get() + len);
        Ok(())
    }

    /// Takes the first of those that wait.
    fn pop_datagram(self) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyAny>)>> {
        let py = self.py();
        let Some(backlog) = self.fields.backlog.get(py) else {
            return Ok(None);
        };
        let first = backlog.call_method0(intern!(py, "popleft"))?;
        if backlog.is_empty()? {
            self.fields.backlog.clear(py);
        }
        let (data, address) = first.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
        let data = data.cast_into::<PyBytes>()?;
        let len = data.as_bytes().len() + HEADER;
        self.fields.unwritten.set(self.fields.unwritten.get().saturating_sub(len));
        Ok(Some((data, address)))
    }

    /// The writer is roused: as many as there is room for are sent.
    fn send_waiting_datagrams(self) -> PyResult<()> {
        while let Some((data, address)) = self.pop_datagram()? {
            match self.offer_datagram(data.as_any(), &address)? {
                Sent::Gone => {}
                Sent::NotNow => {
                    self.put_datagram("appendleft", &data, &address)?;
                    break;
                }
                // The others wait for the next turn.
                Sent::Refused(error) => return self.tell_of_error(error),
                Sent::Impossible(error) => return self.fatal_error(error, FATAL),
            }
        }
        // The protocol may send more when it is told to go on.
        self.maybe_resume_protocol()?;
        if !self.fields.backlog.is_empty() {
            return Ok(());
        }
        self.stop_writing();
        if self.fields.has(CLOSING) { self.lose_now() } else { Ok(()) }
    }
}

/// An integer in an address; none for what only turns into one by a call, which Python makes.
fn plain_number<T>(address: &Bound<'_, PyTuple>, place: usize) -> Option<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py>,
{
    address.get_item(place).ok()?.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// What asyncio stumbles over when something is sent after the end, and nobody is to be told.
#[cold]
fn no_loop() -> PyErr {
    PyAttributeError::new_err("'NoneType' object has no attribute 'call_exception_handler'")
}

// As Python sees it.

/// `_SelectorDatagramTransport(loop, sock, protocol, address=None, waiter=None, extra=None)`.
fn init<'py>(
    this: &Bound<'py, DatagramTransport>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    const PARAMETERS: Parameters<6> = Parameters {
        class: "_SelectorDatagramTransport",
        names: ["loop", "sock", "protocol", "address", "waiter", "extra"],
        required: 3,
    };
    let [event_loop, sock, protocol, address, waiter, extra] = PARAMETERS.parse(args, kwargs)?;
    let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
        return Ok(());
    };
    let transport = Transport::of(this);
    transport.take_socket(&event_loop, &sock, extra)?;
    transport.fields.add(family_of(&sock));
    transport.set_protocol(&protocol)?;
    transport.set_default_limits();
    if let Some(address) = address {
        transport.fields.address.set(address);
    }
    owners::remember(this);
    life::begin(this, &event_loop, waiter)
}

/// Which of the two families a socket is of, as a flag; none for any other, and for a socket whose
/// methods are not the library's own.
fn family_of(sock: &Bound<'_, PyAny>) -> u32 {
    match cast_genuine(sock).map(|sock| sock.family()[0]) {
        Some(socket::INET) => IS_V4,
        Some(socket::INET6) => IS_V6,
        _ => 0,
    }
}

fn sendto<'py>(
    this: &Bound<'py, DatagramTransport>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let [data, address] = args.parse("sendto", ["data", "addr"], 2)?;
    let data = data.ok_or_else(|| missing("sendto", "data", 1))?;
    Transport::of(this).send_datagram(data, address)?;
    Ok(none(this.py()))
}

fn sendto_ready<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).send_waiting_datagrams()?;
    Ok(none(this.py()))
}

fn read_address<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().address.get(this.py()).unwrap_or_else(|| none(this.py())))
}

/// `_buffer`: a copy of what waits.
fn read_buffer<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    match this.fields().backlog.get(py) {
        Some(backlog) => names::DEQUE.get(py)?.call1((backlog,)),
        None => names::DEQUE.get(py)?.call0(),
    }
}

fn read_buffer_size<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().unwritten.get().into_pyobject(this.py())?.into_any())
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let name = c"batonloop.selector_events._SelectorDatagramTransport";
    let made = TypeBuilder::<DatagramTransport>::new(name, DOC)
        .methods(class::common_methods())
        .methods(class::reading_methods())
        .methods(class::limiting_methods())
        .methods([
            Method::args(c"sendto", SENDTO_DOC, sendto),
            class::force_close_method(c"_force_close"),
            Method::no_args(c"_sendto_ready", c"Send what waits.", sendto_ready),
        ])
        .properties(class::common_properties())
        .properties(class::socket_properties())
        .properties(class::limiting_properties())
        .properties([
            Property::read(c"_address", c"The only address to send to, or None.", read_address),
            Property::read(c"_buffer", c"What is still to be sent.", read_buffer),
            Property::read(c"_buffer_size", c"How much that counts.", read_buffer_size),
        ])
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(class::repr::<DatagramTransport>),
            TypeSlot::finalize(class::finalize::<DatagramTransport>),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .build(&bases(
            py,
            &[names::FLOW_CONTROL_MIXIN.get(py)?, names::DATAGRAM_TRANSPORT.get(py)?],
        )?)?;
    made.setattr("max_size", read::MAX_SIZE)?;
    if HEADER != 0 {
        made.setattr("_header_size", HEADER)?;
    }
    Ok(made)
}

const DOC: &std::ffi::CStr = c"The transport of datagrams: a UDP socket, or any other of the kind.";
#[cfg(Py_3_13)]
const SENDTO_DOC: &std::ffi::CStr = c"\
    sendto(data, addr=None)\n\nSend a datagram, an empty one too.\n\nWhat the kernel does not take \
    at once is kept.";
#[cfg(not(Py_3_13))]
const SENDTO_DOC: &std::ffi::CStr = c"\
    sendto(data, addr=None)\n\nSend a datagram, unless it is empty.\n\nWhat the kernel does not \
    take at once is kept.";
