//! What a Python socket or raw file knows of itself, read where it stands: above all its
//! descriptor.
//!
//! A program may close a file that a transport uses, and its number may then be somebody else's.
//! So a transport does not remember the number but reads it whenever it needs it: -1 means closed.
//!
//! A program may also derive from `socket.socket`, or give it a method of its own. Whoever wants to
//! do what `recv()` does without calling it asks [`cast_genuine`] first.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyType, PyTypeMethods};
use pyo3::{Bound, Py, PyResult, Python, ffi};

use crate::slot::Slot;

/// How `PySocketSockObject` of `Modules/socketmodule.h` begins. All of it are cells, also the head,
/// for the interpreter counts references while the struct is borrowed.
#[repr(C)]
struct SocketFields {
    head: Cell<ffi::PyObject>,
    fd: Cell<c_int>,
    family: Cell<c_int>,
    kind: Cell<c_int>,
    protocol: Cell<c_int>,
    error_handler: Cell<*mut c_void>,
    /// In nanoseconds; negative for none.
    timeout: Cell<i64>,
}

/// How `fileio` of `Modules/_io/fileio.c` begins, and a socket too.
#[repr(C)]
struct FileFields {
    head: Cell<ffi::PyObject>,
    fd: Cell<c_int>,
}

/// The classes whose layout was looked at: `_socket.socket` and `_io.FileIO`.
static PROVEN_CLASSES: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();

/// Whether sockets and raw files were found to be laid out so.
static IS_PROVEN: AtomicBool = AtomicBool::new(false);

/// The methods of `socket.socket` that are done here without being called.
const METHODS: [&str; 10] = [
    "accept",
    "connect",
    "fileno",
    "getsockopt",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "send",
    "sendto",
];

/// The class `socket.socket`, and which version of it was last found to have its own methods.
struct Genuine {
    class: Cell<*mut ffi::PyTypeObject>,
    version: Cell<c_uint>,
}

// SAFETY: read and written with the GIL held only.
unsafe impl Sync for Genuine {}

static GENUINE: Genuine = Genuine { class: Cell::new(ptr::null_mut()), version: Cell::new(0) };

/// The [`METHODS`] as they were when this module was imported.
static OWN_METHODS: PyOnceLock<[Py<PyAny>; METHODS.len()]> = PyOnceLock::new();

/// Looks at a live socket and a raw file: does all that we read stand where we think? Once, before
/// any other call.
///
/// # Errors
///
/// What Python raises when they are made.
pub fn prove_layout(py: Python<'_>) -> PyResult<bool> {
    let class = py.import("_socket")?.getattr("socket")?;
    let basicsize = class.getattr("__basicsize__")?.extract::<usize>()?;
    let socket = class.call0()?;
    let number = socket.call_method0("fileno")?.extract::<c_int>()?;
    let fields = if basicsize >= size_of::<SocketFields>() {
        // SAFETY: it is of that class and alive to the end of this function.
        Some(unsafe { read(&socket) })
    } else {
        None
    };
    let proven = match fields {
        Some(fields) if fields.fd.get() == number => {
            is_laid_out_further(&socket, fields)? && is_file_laid_out(py, number)?
        }
        _ => false,
    };
    socket.call_method0("close")?;
    let proven = proven && fields.is_some_and(|fields| fields.fd.get() == -1);
    let file_class = py.import("_io")?.getattr("FileIO")?;
    let _ = PROVEN_CLASSES.set(py, [class.clone().unbind(), file_class.unbind()]);
    IS_PROVEN.store(proven, Ordering::Relaxed);
    if proven {
        remember_class(py)?;
    }
    Ok(proven)
}

/// Whether the descriptor of a raw file stands where we think, open and closed. The number stays
/// its owner's.
fn is_file_laid_out(py: Python<'_>, number: c_int) -> PyResult<bool> {
    let class = py.import("_io")?.getattr("FileIO")?;
    let basicsize = class.getattr("__basicsize__")?.extract::<usize>()?;
    let file = class.call1((number, "rb", false))?;
    // SAFETY: the object is alive; whatever stands there is longer than a number.
    let fields = unsafe { &*file.as_ptr().cast::<FileFields>() };
    let while_open = basicsize >= size_of::<FileFields>() && fields.fd.get() == number;
    file.call_method0("close")?;
    Ok(while_open && fields.fd.get() == -1)
}

/// Whether what stands behind the descriptor says what the socket says.
fn is_laid_out_further(socket: &Bound<'_, PyAny>, fields: &SocketFields) -> PyResult<bool> {
    const NANOSECONDS: i64 = 1_000_000_000;
    for (name, value) in
        [("family", &fields.family), ("type", &fields.kind), ("proto", &fields.protocol)]
    {
        // The three differ by themselves in a socket for TCP.
        if socket.getattr(name)?.extract::<c_int>()? != value.get() {
            return Ok(false);
        }
    }
    let without = fields.timeout.get();
    socket.call_method1("settimeout", (2,))?;
    let with = fields.timeout.get();
    socket.call_method1("settimeout", (0,))?;
    Ok(without < 0 && with == 2 * NANOSECONDS && fields.timeout.get() == 0)
}

/// Takes note of what the class `socket.socket` is like before any program can change it.
fn remember_class(py: Python<'_>) -> PyResult<()> {
    let class = py.import("socket")?.getattr("socket")?;
    let mut methods = Vec::with_capacity(METHODS.len());
    for name in METHODS {
        methods.push(class.getattr(name)?.unbind());
    }
    if let Ok(methods) = methods.try_into() {
        let _ = OWN_METHODS.set(py, methods);
    }
    // The class is never freed: its address is compared for as long as the process lives.
    GENUINE.class.set(class.into_ptr().cast());
    Ok(())
}

/// The struct of a `_socket.socket`.
///
/// # Safety
///
/// The object is at least as long as the fields.
unsafe fn read<'a>(socket: &'a Bound<'_, PyAny>) -> &'a SocketFields {
    // SAFETY: the object is alive, and the caller answers for its length; every bit pattern is
    // valid for numbers; the interpreter writes them with the GIL held, which the reference proves,
    // and they are cells.
    unsafe { &*socket.as_ptr().cast::<SocketFields>() }
}

/// A socket of class `socket.socket` itself, whose methods are the library's own.
///
/// Invariant: the class was proven to be laid out as `SocketFields`; else it is not remembered.
#[derive(Clone, Copy)]
pub struct Socket<'a, 'py>(&'a Bound<'py, PyAny>);

/// `object` as a socket, if it is exactly of class `socket.socket` and nobody has changed that
/// class's methods.
#[inline]
pub fn cast_genuine<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<Socket<'a, 'py>> {
    // SAFETY: the object is alive.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    if class != GENUINE.class.get() {
        return None;
    }
    // SAFETY: the class is alive.
    let version = unsafe { (*class).tp_version_tag };
    if (version == 0 || version != GENUINE.version.get()) && !has_own_methods(object) {
        return None;
    }
    Some(Socket(object))
}

/// The class was changed since it was last looked at, or never was: are its methods the old ones?
#[cold]
fn has_own_methods(socket: &Bound<'_, PyAny>) -> bool {
    let py = socket.py();
    let class: Bound<'_, PyType> = socket.get_type();
    let Some(methods) = OWN_METHODS.get(py) else {
        return false;
    };
    let is_own = METHODS
        .iter()
        .zip(methods)
        .all(|(name, own)| class.getattr(*name).is_ok_and(|found| found.is(own)));
    // The look has given the class a version, unless there are no more.
    // SAFETY: the class is alive.
    let version = unsafe { (*class.as_type_ptr()).tp_version_tag };
    GENUINE.version.set(if is_own { version } else { 0 });
    is_own
}

impl<'a, 'py> Socket<'a, 'py> {
    /// The object.
    #[inline]
    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.0
    }

    #[inline]
    fn fields(self) -> &'a SocketFields {
        // SAFETY: the invariant of the type.
        unsafe { read(self.0) }
    }

    /// The descriptor; -1 if the socket is closed.
    #[inline]
    pub fn descriptor(self) -> c_int {
        self.fields().fd.get()
    }

    /// Its family, type and protocol, as numbers.
    #[inline]
    pub fn family(self) -> [c_int; 3] {
        let fields = self.fields();
        [fields.family.get(), fields.kind.get(), fields.protocol.get()]
    }

    /// Whether its calls never wait.
    #[inline]
    pub fn is_non_blocking(self) -> bool {
        self.fields().timeout.get() == 0
    }
}

/// Whether the descriptor of `object` can be read where it stands: it is a `_socket.socket` or a
/// `_io.FileIO`.
pub fn is_readable(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    // Not `isinstance()`, which believes what an object says of its class.
    let is_a = |class: &Py<PyAny>| object.get_type().is_subclass(class.bind(py)).unwrap_or(false);
    IS_PROVEN.load(Ordering::Relaxed)
        && PROVEN_CLASSES.get(py).is_some_and(|classes| classes.iter().any(is_a))
}

/// The descriptor of the file in a slot, for which [`is_readable`] was true; -1 if the slot is
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
    let fields = unsafe { &*object.cast::<FileFields>() };
    fields.fd.get()
}
