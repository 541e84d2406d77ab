//! What `get_extra_info()` knows of a socket.
//!
//! A connection that a server accepted comes without a Python socket and without names as Python
//! spells them: they cost more than the rest of it, and most are never asked for. They are made
//! when somebody does.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use batonloop_cpython::socket::cast_genuine;
use batonloop_sys::socket::{self, Name};
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyString, PyStringMethods, PyTuple};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

use super::{SAYS_TCP, Transport};
use crate::names::{self, none};

impl<'py> Transport<'_, 'py> {
    /// `get_extra_info(name, default)`.
    pub(super) fn extra_info(
        self,
        name: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        // Every stream asks for TLS, which only a dict that somebody gave can know of.
        if self.fields.extra.is_empty()
            && let Ok(text) = name.cast_exact::<PyString>()
            && !["peername", "sockname", "socket"].contains(&text.to_str().unwrap_or("socket"))
        {
            return Ok(default);
        }
        let extra =
            if name.eq(intern!(py, "socket"))? { self.extra()? } else { self.extra_but_socket()? };
        extra.call_method1(intern!(py, "get"), (name, default))
    }

    /// `_extra`: the dict, with everything in it.
    pub(super) fn extra(self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let extra = self.extra_but_socket()?;
        let name = intern!(py, "socket");
        if self.fields.peer.get() != [0; 7] && !extra.contains(name)? {
            let socket = self.python_socket()?;
            extra.set_item(name, names::TRANSPORT_SOCKET.get(py)?.call1((socket,))?)?;
        }
        Ok(extra)
    }

    fn extra_but_socket(self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        if let Some(extra) = self.fields.extra.get(py) {
            return Ok(extra);
        }
        let extra = PyDict::new(py);
        if self.fields.peer.get() != [0; 7] {
            self.remember_local_name();
            for (name, words) in [
                (intern!(py, "peername"), &self.fields.peer),
                (intern!(py, "sockname"), &self.fields.local),
            ] {
                extra.set_item(name, spelled(py, Name::unpack(words.get()))?)?;
            }
        }
        self.fields.extra.set(extra.clone().into_any());
        Ok(extra.into_any())
    }

    /// The names of both ends of a UNIX socket that was accepted: this one is the server's, and the
    /// other has mostly none.
    pub(super) fn name_unix_ends(self, path: &Bound<'py, PyAny>, peer: Name) -> PyResult<()> {
        let py = self.py();
        // The socket that is made below is to be of the right family.
        self.fields.peer.set(Name::Unnamed.pack());
        let peer = match peer {
            Name::Unnamed => spelled(py, peer)?,
            _ => self.python_socket()?.call_method0(intern!(py, "getpeername"))?,
        };
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "peername"), peer)?;
        extra.set_item(intern!(py, "sockname"), path)?;
        self.fields.extra.set(extra.into_any());
        Ok(())
    }

    /// Asks the kernel for the name of this end before it is too late.
    pub(super) fn remember_local_name(self) {
        let fields = self.fields;
        if fields.extra.is_empty() && fields.local.get() == [0; 7] && fields.peer.get() != [0; 7] {
            let name = socket::local_name(fields.open_descriptor(self.py())).unwrap_or_default();
            fields.local.set(name.pack());
        }
    }

    /// The Python socket, made now if there was none; a closed one if the connection is lost.
    pub(super) fn python_socket(self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        if let Some(socket) = self.fields.file(py) {
            return Ok(socket);
        }
        let family = match Name::unpack(self.fields.peer.get()) {
            Name::V6(_) => "AF_INET6",
            Name::V4(_) => "AF_INET",
            Name::Unnamed | Name::Unknown => "AF_UNIX",
        };
        let module = py.import(intern!(py, "socket"))?;
        // The protocol is what the listener calls its own: TCP, or 0, the usual one of the family.
        let protocol = if self.fields.has(SAYS_TCP) {
            module.getattr(intern!(py, "IPPROTO_TCP"))?
        } else {
            0_i32.into_pyobject(py)?.into_any()
        };
        let arguments =
            [module.getattr(family)?, module.getattr(intern!(py, "SOCK_STREAM"))?, protocol];
        let class = module.getattr(intern!(py, "socket"))?;
        if !self.fields.is_open() {
            let socket = class.call1(PyTuple::new(py, arguments)?)?;
            socket.call_method0(intern!(py, "close"))?;
            return Ok(socket);
        }
        let Some(fd) = self.fields.take_owned() else {
            return Err(PyRuntimeError::new_err("the socket of the transport is being made"));
        };
        let (owner, made) = hand_over(&class, arguments, fd);
        let is_lost = !self.fields.is_open();
        match owner {
            // The transport could not close what it did not have.
            Owner::Nobody(fd) if is_lost => drop(fd),
            Owner::Socket(socket) if is_lost => drop(socket.call_method0("close")?),
            Owner::Nobody(fd) => self.fields.own(fd),
            Owner::Socket(socket) => self.fields.set_file(socket),
        }
        made
    }
}

/// Who closes a descriptor that was to be a Python socket's.
pub(crate) enum Owner<'py> {
    /// Whoever has this.
    Nobody(OwnedFd),
    /// The socket.
    Socket(Bound<'py, PyAny>),
}

/// Makes a Python socket of a descriptor, one that does not block, and tells who owns it by then.
///
/// Whatever happens meanwhile (an audit hook raises, a signal's handler does, the memory is short),
/// the descriptor has one owner. It is the socket's once `__init__` has returned, though somebody
/// may have closed that since; if `__init__` raises, it is the socket's if the socket says so.
pub(crate) fn hand_over<'py>(
    class: &Bound<'py, PyAny>,
    arguments: [Bound<'py, PyAny>; 3],
    fd: OwnedFd,
) -> (Owner<'py>, PyResult<Bound<'py, PyAny>>) {
    let py = class.py();
    let [family, kind, protocol] = arguments;
    let arguments = (family, kind, protocol, fd.as_raw_fd());
    // What a call of the class does, in its two halves: between them the object is known that may
    // have the descriptor when the second one fails.
    let socket = match class.call_method1(intern!(py, "__new__"), (class,)) {
        Ok(socket) => socket,
        Err(error) => return (Owner::Nobody(fd), Err(error)),
    };
    let initialised = socket.call_method1(intern!(py, "__init__"), arguments);
    if initialised.is_err()
        && descriptor_of(&socket).map_or(true, |number| number != fd.as_raw_fd())
    {
        return (Owner::Nobody(fd), initialised);
    }
    // It is closed by the socket: when that dies, at the latest. The number may be another file's.
    let _ = fd.into_raw_fd();
    let made = initialised
        .and_then(|_| socket.call_method1(intern!(py, "setblocking"), (false,)))
        .map(|_| socket.clone());
    (Owner::Socket(socket), made)
}

/// The descriptor of a Python socket: -1 if it is closed.
#[inline]
pub(crate) fn descriptor_of(sock: &Bound<'_, PyAny>) -> PyResult<i32> {
    match cast_genuine(sock) {
        Some(sock) => Ok(sock.descriptor()),
        None => sock.call_method0(intern!(sock.py(), "fileno"))?.extract(),
    }
}

/// A name as Python's sockets spell it.
pub(crate) fn spelled(py: Python<'_>, name: Name) -> PyResult<Bound<'_, PyAny>> {
    match name {
        Name::Unknown => Ok(none(py)),
        Name::Unnamed => Ok("".into_pyobject(py)?.into_any()),
        Name::V4(name) => Ok((name.ip().to_string(), name.port()).into_pyobject(py)?.into_any()),
        Name::V6(name) => {
            let ip = name.ip().octets();
            let ip = names::INET_NTOP.get(py)?.call1((names::AF_INET6.get(py)?, ip))?;
            Ok((ip, name.port(), name.flowinfo(), name.scope_id()).into_pyobject(py)?.into_any())
        }
    }
}
