//! The descriptor of a Python socket, read where it stands.
//!
//! A program may close a socket that a transport uses, and its number may then be somebody else's.
//! So a transport does not remember the number but reads it whenever it needs it: -1 means closed.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, Python, ffi, intern};

use crate::slot::Slot;

/// How `PySocketSockObject` of `Modules/socketmodule.h` begins.
#[repr(C)]
struct SocketFields {
    head: ffi::PyObject,
    fd: c_int,
}

/// Whether sockets were found to be laid out so.
static IS_PROVEN: AtomicBool = AtomicBool::new(false);

/// Looks at a live socket: does its descriptor stand where we think? Once, before any other call.
///
/// # Errors
///
/// What Python raises when a socket is made.
pub fn prove_layout(py: Python<'_>) -> PyResult<bool> {
    let class = py.import("_socket")?.getattr("socket")?;
    let basicsize = class.getattr("__basicsize__")?.extract::<usize>()?;
    let socket = class.call0()?;
    let number = socket.call_method0("fileno")?.extract::<c_int>()?;
    let mut proven = basicsize >= size_of::<SocketFields>() && read(&socket) == number;
    socket.call_method0("close")?;
    proven = proven && read(&socket) == -1;
    IS_PROVEN.store(proven, Ordering::Relaxed);
    Ok(proven)
}

/// Reads the descriptor of a `_socket.socket` from its struct.
fn read(socket: &Bound<'_, PyAny>) -> c_int {
    // SAFETY: the object is alive and at least as long as the fields; every bit pattern is an int.
    unsafe { (*socket.as_ptr().cast::<SocketFields>()).fd }
}

/// Whether the descriptor of `object` can be read where it stands: it is a `_socket.socket`.
pub fn is_readable(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    IS_PROVEN.load(Ordering::Relaxed)
        && py
            .import(intern!(py, "_socket"))
            .and_then(|module| module.getattr(intern!(py, "socket")))
            .and_then(|class| object.is_instance(&class))
            .unwrap_or(false)
}

/// The descriptor of the socket in a slot, for which [`is_readable`] was true; -1 if the slot is
/// empty.
///
/// # Safety
///
/// If the slot is not empty, what it holds passed [`is_readable`].
#[inline]
pub(crate) unsafe fn descriptor_in(slot: &Slot) -> c_int {
    let object = slot.as_ptr();
    if object.is_null() {
        return -1;
    }
    // SAFETY: the caller answers for what the slot holds, and the layout was proven.
    unsafe { (*object.cast::<SocketFields>()).fd }
}
