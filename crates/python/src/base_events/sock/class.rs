//! What `sock_recv()` and its kin return, as Python sees it: a coroutine; and those methods.
//!
//! It has what the standard library asks of a coroutine that is not an `async def`'s: the two names
//! that a task's repr shows, and whether it has control. It has no code, no frame and nothing that
//! it awaits to show: those who walk from coroutine to coroutine stop here, as they do at a future.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{Fields, SocketCall};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot};
use pyo3::types::{PyAny, PyAnyMethods, PyString, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use super::{CLOSED, CREATED, Operation, PyCall, RUNNING, finish, iterate, new, step};
use crate::coroutines;
use crate::host::EventLoop;
use crate::names::{boolean, none};

/// What `await` drives: nothing that is awaited already.
fn itself<'py>(call: &PyCall<'py>) -> PyResult<Bound<'py, PyAny>> {
    match call.fields().stage() {
        CREATED | RUNNING | CLOSED => Ok(call.as_any().clone()),
        _ => Err(coroutines::awaited_already()),
    }
}

/// `send()`: values are ignored, as a future gives nothing to whom it wakes.
fn send<'py>(call: &PyCall<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if call.fields().stage() == CREATED && !value.is_none() {
        return Err(coroutines::sent_too_early());
    }
    coroutines::sent(call.py(), step(call, None)?)
}

/// `throw()`: what is thrown ends the wait, and nothing is watched any more.
fn throw<'py>(call: &PyCall<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let error = coroutines::thrown(args)?;
    coroutines::sent(call.py(), step(call, Some(error))?)
}

/// `close()`: likewise, without a word.
fn close<'py>(call: &PyCall<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = call.py();
    if call.fields().stage() == RUNNING {
        return Err(coroutines::already_executing());
    }
    let inner = call.fields().inner.take(py);
    finish(call);
    if let Some(inner) = inner {
        inner.call_method0(intern!(py, "close"))?;
    }
    Ok(none(py))
}

fn qualified_name(call: &PyCall<'_>) -> String {
    format!("BaseSelectorEventLoop.{}", Operation::of(call).name())
}

fn repr<'py>(call: &PyCall<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (name, place) = (qualified_name(call), call.as_ptr().addr());
    Ok(PyString::new(call.py(), &format!("<coroutine object {name} at {place:#x}>")).into_any())
}

/// Nobody ever drove it.
fn finalize(call: &PyCall<'_>) {
    if call.fields().stage() == CREATED {
        coroutines::warn_never_awaited(call.as_any(), &qualified_name(call));
    }
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let made = TypeBuilder::<SocketCall>::new(
        c"batonloop.selector_events._SocketCall",
        c"A coroutine that calls a socket, and waits where the call would.",
    )
    .methods([
        Method::one_arg(c"send", c"Resume with a value.", send),
        Method::args(c"throw", c"Raise an exception inside.", throw),
        Method::no_args(c"close", c"End it.", close),
    ])
    .properties([
        Property::read(c"__name__", c"The name of the method.", |call: &PyCall<'_>| {
            Ok(PyString::new(call.py(), Operation::of(call).name()).into_any())
        }),
        Property::read(c"__qualname__", c"The name with its class.", |call: &PyCall<'_>| {
            Ok(PyString::new(call.py(), &qualified_name(call)).into_any())
        }),
        Property::read(c"cr_running", c"Whether it has control now.", |call: &PyCall<'_>| {
            Ok(boolean(call.py(), call.fields().stage() == RUNNING))
        }),
    ])
    .slots([
        TypeSlot::repr(repr),
        TypeSlot::finalize(finalize),
        TypeSlot::awaited(itself),
        TypeSlot::next(iterate),
        TypeSlot::send(iterate),
    ])
    .driven_by_yield_from()
    .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    coroutines::register(&made)?;
    Ok(made)
}

/// The methods of the loop.
pub(in crate::base_events) fn methods() -> Vec<Method<EventLoop>> {
    vec![
        Method::args(c"sock_recv", RECV, |this, args| new(this, args, Operation::Recv)),
        Method::args(c"sock_recv_into", RECV_INTO, |this, args| {
            new(this, args, Operation::RecvInto)
        }),
        Method::args(c"sock_recvfrom", RECVFROM, |this, args| new(this, args, Operation::Recvfrom)),
        Method::args(c"sock_recvfrom_into", RECVFROM_INTO, |this, args| {
            new(this, args, Operation::RecvfromInto)
        }),
        Method::args(c"sock_sendall", SENDALL, |this, args| new(this, args, Operation::Sendall)),
        Method::args(c"sock_sendto", SENDTO, |this, args| new(this, args, Operation::Sendto)),
        Method::args(c"sock_connect", CONNECT, |this, args| new(this, args, Operation::Connect)),
        Method::args(c"sock_accept", ACCEPT, |this, args| new(this, args, Operation::Accept)),
    ]
}

const RECV: &CStr = c"\
    sock_recv(sock, n)\n\nReceive at most n bytes from a socket that does not block; empty \
    at the end.\n\nA coroutine. What arrives after it was cancelled stays in the socket.";
const RECV_INTO: &CStr = c"\
    sock_recv_into(sock, buf)\n\nReceive into a buffer from a socket that does not block; \
    return how many bytes.\n\nA coroutine. What arrives after it was cancelled stays in the \
    socket.";
const RECVFROM: &CStr = c"\
    sock_recvfrom(sock, bufsize)\n\nReceive a datagram of at most bufsize bytes; return it \
    and the address of who sent it.\n\nA coroutine.";
const RECVFROM_INTO: &CStr = c"\
    sock_recvfrom_into(sock, buf, nbytes=0)\n\nReceive a datagram into a buffer, at most \
    nbytes of it unless that is 0; return how many\nbytes, and the address of who sent \
    it.\n\nA coroutine.";
const SENDALL: &CStr = c"\
    sock_sendall(sock, data)\n\nSend all of data over a socket that does not block.\n\nA \
    coroutine. After an error or a cancellation nobody can tell how much was sent.";
const SENDTO: &CStr = c"\
    sock_sendto(sock, data, address)\n\nSend data as one datagram to an address; return how \
    many bytes were sent.\n\nA coroutine.";
const CONNECT: &CStr = c"\
    sock_connect(sock, address)\n\nConnect a socket that does not block to an address, whose \
    host may be a name.\n\nA coroutine. Raises OSError with the address if the connection \
    is refused.";
const ACCEPT: &CStr = c"\
    sock_accept(sock)\n\nAccept a connection of a listening socket that does not block; \
    return a new socket, which\ndoes not block either, and the address of the other end.\n\nA \
    coroutine.";
