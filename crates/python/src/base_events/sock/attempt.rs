//! One attempt of a socket's call, without waiting.
//!
//! The calls that servers make all the time go to the kernel directly. All others, and whatever
//! has odd arguments, go to the Python socket's own method, which then raises what it raises.

use batonloop_cpython::buffer::View;
use batonloop_cpython::bytes;
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::Fields;
use batonloop_cpython::socket::{self, Socket};
use batonloop_sys::socket as kernel;
use pyo3::exceptions::PyOSError;
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyBytes, PyBytesMethods, PyInt, PyMemoryView, PySlice,
};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

use super::{Operation, PyCall, is_of_internet};
use crate::exceptions;
use crate::interrupted::unless_it_waits;
use crate::names::none;
use crate::transports::{LARGEST_COPY, hand_over, spelled, with_hot};

/// What came of an attempt; nothing if it would have to wait.
type Attempt<'py> = PyResult<Option<Bound<'py, PyAny>>>;

/// The first attempt.
#[inline]
pub(super) fn first<'py>(call: &PyCall<'py>, socket: Socket<'_, 'py>) -> Attempt<'py> {
    let py = call.py();
    let fields = call.fields();
    let argument = || fields.argument.get(py).unwrap_or_else(|| none(py));
    match Operation::of(call) {
        Operation::Recv => recv(socket, &argument()),
        Operation::RecvInto => recv_into(socket, &argument()),
        Operation::Recvfrom => recvfrom(socket, &argument()),
        Operation::RecvfromInto => {
            let buffer = argument();
            let nbytes = fields.extra.get(py).unwrap_or_else(|| none(py));
            let nbytes = if nbytes.is_truthy()? {
                nbytes
            } else {
                buffer.len()?.into_pyobject(py)?.into_any()
            };
            fields.extra.set(nbytes.clone());
            recvfrom_into(socket, &buffer, &nbytes)
        }
        Operation::Sendall => send_rest(call, socket, &argument()),
        Operation::Sendto => {
            let address = fields.extra.get(py).unwrap_or_else(|| none(py));
            let arguments = (argument(), address);
            socket.object().call_method1(intern!(py, "sendto"), arguments).map(Some)
        }
        Operation::Connect => {
            socket.object().call_method1(intern!(py, "connect"), (argument(),)).map(Some)
        }
        Operation::Accept => accept(socket),
    }
}

/// An attempt when the descriptor was reported ready.
pub(super) fn again<'py>(call: &PyCall<'py>, object: &Bound<'py, PyAny>) -> Attempt<'py> {
    let py = call.py();
    let fields = call.fields();
    let argument = || fields.argument.get(py).unwrap_or_else(|| none(py));
    let Some(socket) = socket::cast_genuine(object) else {
        return again_by_method(call, object, &argument());
    };
    match Operation::of(call) {
        Operation::Connect => connected(py, socket, &argument()),
        Operation::Sendto => again_by_method(call, object, &argument()),
        Operation::RecvfromInto => {
            let nbytes = fields.extra.get(py).unwrap_or_else(|| none(py));
            recvfrom_into(socket, &argument(), &nbytes)
        }
        _ => first(call, socket),
    }
}

/// The same for a socket that has become another since, and where there is nothing to gain.
fn again_by_method<'py>(
    call: &PyCall<'py>,
    object: &Bound<'py, PyAny>,
    argument: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let py = call.py();
    let fields = call.fields();
    let extra = fields.extra.get(py).unwrap_or_else(|| none(py));
    let value = match Operation::of(call) {
        Operation::Recv => object.call_method1("recv", (argument,)),
        Operation::RecvInto => object.call_method1("recv_into", (argument,)),
        Operation::Recvfrom => object.call_method1("recvfrom", (argument,)),
        Operation::RecvfromInto => object.call_method1("recvfrom_into", (argument, extra)),
        Operation::Sendto => object.call_method1("sendto", (argument, 0, extra)),
        Operation::Accept => {
            let accepted = object.call_method0("accept")?;
            accepted.get_item(0)?.call_method1("setblocking", (false,))?;
            Ok(accepted)
        }
        Operation::Connect => {
            let error =
                object.call_method1("getsockopt", (kernel::SOL_SOCKET, kernel::SO_ERROR))?;
            return connect_ended(py, error.extract()?, argument);
        }
        Operation::Sendall => {
            let sent = fields.position.get();
            let rest = PyMemoryView::from(argument)?.get_item(PySlice::new(
                py,
                sent.cast_signed(),
                isize::MAX,
                1,
            ))?;
            let sent = sent + object.call_method1("send", (rest,))?.extract::<usize>()?;
            fields.position.set(sent);
            return Ok((sent == argument.len()?).then(|| none(py)));
        }
    };
    value.map(Some)
}

/// What must be held while the call waits: the memory that is sent, which cannot be resized then.
pub(super) fn keep_for_later(call: &PyCall<'_>) -> PyResult<()> {
    let py = call.py();
    let fields = call.fields();
    if Operation::of(call) == Operation::Sendall
        && let Some(data) = fields.argument.get(py)
        && !data.is_exact_instance_of::<PyBytes>()
    {
        fields.argument.set(PyMemoryView::from(&data)?.into_any());
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Receiving
// ---------------------------------------------------------------------------------------------

/// More than so many bytes do not go through the hot buffer.
const MOST_HOT: usize = 64 * 1024;
/// How much came the last time.
static CAME: GilCell<usize> = GilCell::new(0);

/// How many bytes are wanted, if that is said by a plain number of the usual range.
fn size(number: &Bound<'_, PyAny>) -> Option<usize> {
    let number = number.cast_exact::<PyInt>().ok()?.extract::<isize>().ok()?;
    usize::try_from(number).ok()
}

#[inline]
fn recv<'py>(socket: Socket<'_, 'py>, n: &Bound<'py, PyAny>) -> Attempt<'py> {
    let py = n.py();
    let Some(size) = size(n) else {
        return socket.object().call_method1(intern!(py, "recv"), (n,)).map(Some);
    };
    if size == 0 {
        // Python does not even ask the kernel then.
        return Ok(Some(PyBytes::new(py, &[]).into_any()));
    }
    if size <= MOST_HOT && CAME.get(py) <= LARGEST_COPY {
        let received = unless_it_waits(py, || {
            with_hot(py, |hot| {
                kernel::recv(socket.descriptor(), &mut hot[..size]).map(|count| {
                    CAME.set(py, count);
                    bytes::copied(py, &hot[..count])
                })
            })
        })?;
        let data = received.transpose().map_err(|error| *error)?;
        return Ok(data.map(Bound::into_any));
    }
    // The kernel writes straight into the bytes object.
    let mut came = 0;
    let data = bytes::filled(py, size, |memory| {
        let receive = || kernel::recv_spilling(socket.descriptor(), memory, &mut []);
        let received = unless_it_waits(py, receive);
        received.map_err(Some)?.inspect(|count| came = *count).ok_or(None)
    })?;
    CAME.set(py, came);
    match data {
        Ok(data) => Ok(Some(data.bytes.into_any())),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

fn recv_into<'py>(socket: Socket<'_, 'py>, buffer: &Bound<'py, PyAny>) -> Attempt<'py> {
    let py = buffer.py();
    let received = match View::write(buffer) {
        // The kernel is not asked for nothing.
        Ok(memory) if memory.is_empty() => Some(0),
        Ok(mut memory) => {
            unless_it_waits(py, || memory.fill(|memory| kernel::recv(socket.descriptor(), memory)))?
        }
        Err(_) => return socket.object().call_method1("recv_into", (buffer,)).map(Some),
    };
    received.map(|count| Ok(count.into_pyobject(py)?.into_any())).transpose()
}

fn recvfrom<'py>(socket: Socket<'_, 'py>, n: &Bound<'py, PyAny>) -> Attempt<'py> {
    let py = n.py();
    let size = size(n).filter(|size| *size <= MOST_HOT && is_of_internet(socket));
    let Some(size) = size else {
        return socket.object().call_method1(intern!(py, "recvfrom"), (n,)).map(Some);
    };
    let received = unless_it_waits(py, || {
        with_hot(py, |hot| {
            kernel::recvfrom(socket.descriptor(), &mut hot[..size])
                .map(|(count, name)| (bytes::copied(py, &hot[..count]), name))
        })
    })?;
    let Some((data, name)) = received else {
        return Ok(None);
    };
    let data = data.map_err(|error| *error)?;
    Ok(Some((data, spelled(py, name)?).into_pyobject(py)?.into_any()))
}

fn recvfrom_into<'py>(
    socket: Socket<'_, 'py>,
    buffer: &Bound<'py, PyAny>,
    nbytes: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let py = buffer.py();
    let wanted = size(nbytes).filter(|size| *size > 0 && is_of_internet(socket));
    let lent = View::write(buffer);
    let (Some(wanted), Ok(mut memory)) = (wanted, lent) else {
        let arguments = (buffer, nbytes);
        return socket.object().call_method1("recvfrom_into", arguments).map(Some);
    };
    if wanted > memory.len() {
        drop(memory);
        let arguments = (buffer, nbytes);
        return socket.object().call_method1("recvfrom_into", arguments).map(Some);
    }
    let received = unless_it_waits(py, || {
        memory.fill(|memory| kernel::recvfrom(socket.descriptor(), &mut memory[..wanted]))
    })?;
    drop(memory);
    let Some((count, name)) = received else {
        return Ok(None);
    };
    Ok(Some((count, spelled(py, name)?).into_pyobject(py)?.into_any()))
}

// ---------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------

/// Whether data has as many bytes as its length says, and lies in one piece.
pub(super) fn is_plain_data(data: &Bound<'_, PyAny>) -> bool {
    if data.is_exact_instance_of::<PyBytes>() || data.is_exact_instance_of::<PyByteArray>() {
        return true;
    }
    let py = data.py();
    let says = |name| data.getattr(name).and_then(|value| value.extract::<usize>());
    data.is_exact_instance_of::<PyMemoryView>()
        && says(intern!(py, "itemsize")).is_ok_and(|size| size == 1)
        && says(intern!(py, "ndim")).is_ok_and(|count| count == 1)
        && data.getattr("c_contiguous").and_then(|flag| flag.is_truthy()).unwrap_or(false)
}

/// Sends what is not sent yet, as much as the kernel takes.
#[inline]
fn send_rest<'py>(
    call: &PyCall<'py>,
    socket: Socket<'_, 'py>,
    data: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let py = data.py();
    let start = call.fields().position.get();
    let send =
        |data: &[u8]| kernel::send(socket.descriptor(), data.get(start..).unwrap_or_default());
    let (len, sent) = if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        let bytes = bytes.as_bytes();
        (bytes.len(), unless_it_waits(py, || send(bytes))?)
    } else {
        let view = View::read(data)?;
        (view.len(), unless_it_waits(py, || view.show(send))?)
    };
    let sent = sent.unwrap_or(0);
    call.fields().position.set(start + sent);
    Ok((start + sent >= len).then(|| none(py)))
}

// ---------------------------------------------------------------------------------------------
// Connecting and accepting
// ---------------------------------------------------------------------------------------------

/// What a connection that was begun has come to.
fn connected<'py>(
    py: Python<'py>,
    socket: Socket<'_, 'py>,
    address: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let error = kernel::take_error(socket.descriptor());
    connect_ended(py, error.map_err(|error| exceptions::os_error(&error, py))?, address)
}

fn connect_ended<'py>(py: Python<'py>, error: i32, address: &Bound<'py, PyAny>) -> Attempt<'py> {
    if error == 0 {
        return Ok(Some(none(py)));
    }
    let message = format!("Connect call failed {}", address.str()?);
    Err(PyOSError::new_err((error, message)))
}

fn accept<'py>(socket: Socket<'_, 'py>) -> Attempt<'py> {
    let object = socket.object();
    let py = object.py();
    if !is_of_internet(socket) {
        let accepted = object.call_method0(intern!(py, "accept"))?;
        accepted.get_item(0)?.call_method1(intern!(py, "setblocking"), (false,))?;
        return Ok(Some(accepted));
    }
    let Some((fd, name)) = unless_it_waits(py, || kernel::accept(socket.descriptor()))? else {
        return Ok(None);
    };
    let address = spelled(py, name)?;
    let [family, kind, protocol] = socket.family();
    let arguments = [family, kind, protocol].map(|number| number.into_pyobject(py));
    let [Ok(family), Ok(kind), Ok(protocol)] = arguments;
    let arguments = [family.into_any(), kind.into_any(), protocol.into_any()];
    let (_owner, accepted) = hand_over(object.get_type().as_any(), arguments, fd);
    Ok(Some((accepted?, address).into_pyobject(py)?.into_any()))
}
