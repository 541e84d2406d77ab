//! The library: found, and proven to be the one whose pointers stand in Python's objects.
//!
//! Where the pointers stand is private to CPython, so it is not believed: [`Library::find`] makes a
//! connection and compares what stands there with what OpenSSL says of it. The functions are those
//! of the library that `_ssl` has loaded, never of another one.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};

use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyType};
use pyo3::{Bound, Py, PyResult, Python};

/// Where `_ssl.MemoryBIO` and `_ssl._SSLContext` keep their pointer, in words.
pub(super) const POINTER: usize = 2;
/// Where `_ssl._SSLSocket` keeps its `SSL*`.
pub(super) const SSL: usize = 3;
/// Where `_ssl._SSLSocket` keeps its context, just behind.
const CONTEXT: usize = 4;

// Linux's numbers. On a system with others `dlopen` fails or finds nothing, and the methods serve.
const RTLD_NOW: c_int = 2;
const RTLD_NOLOAD: c_int = 4;

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

/// Declares the functions that are looked up, under the names OpenSSL gives them.
macro_rules! library {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Functions of the OpenSSL that `_ssl` has loaded, and the classes of `_ssl`.
        pub struct Library {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            pub(super) socket_class: Py<PyAny>,
            pub(super) bio_class: Py<PyAny>,
        }

        impl Library {
            fn load(file: &CStr, socket_class: Py<PyAny>, bio_class: Py<PyAny>) -> Option<Self> {
                // SAFETY: the path is a C string, and the library is loaded already: no code runs.
                let handle = unsafe { dlopen(file.as_ptr(), RTLD_NOW | RTLD_NOLOAD) };
                if handle.is_null() {
                    return None;
                }
                $(
                    let name: &CStr = $symbol;
                    // SAFETY: the handle is alive and stays so, for it is never closed.
                    let found = unsafe { dlsym(handle, name.as_ptr()) };
                    if found.is_null() {
                        return None;
                    }
                    // SAFETY: that is the signature of the function of this name in OpenSSL 1.1.1
                    // and 3, and a pointer to a function is as wide as any.
                    let $field = unsafe {
                        std::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(found)
                    };
                )*
                Some(Self { $($field,)* socket_class, bio_class })
            }
        }
    };
}

library! {
    ssl_read = c"SSL_read_ex": fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int;
    ssl_write = c"SSL_write_ex": fn(*mut c_void, *const c_void, usize, *mut usize) -> c_int;
    ssl_error = c"SSL_get_error": fn(*const c_void, c_int) -> c_int;
    ssl_pending = c"SSL_pending": fn(*const c_void) -> c_int;
    ssl_shutdown = c"SSL_get_shutdown": fn(*const c_void) -> c_int;
    ssl_context = c"SSL_get_SSL_CTX": fn(*const c_void) -> *mut c_void;
    ssl_read_bio = c"SSL_get_rbio": fn(*const c_void) -> *mut c_void;
    ssl_write_bio = c"SSL_get_wbio": fn(*const c_void) -> *mut c_void;
    bio_read = c"BIO_read": fn(*mut c_void, *mut c_void, c_int) -> c_int;
    bio_write = c"BIO_write": fn(*mut c_void, *const c_void, c_int) -> c_int;
    bio_pending = c"BIO_ctrl_pending": fn(*mut c_void) -> usize;
    peek_error = c"ERR_peek_error": fn() -> c_ulong;
    clear_errors = c"ERR_clear_error": fn();
}

impl Library {
    /// The library, if this Python's objects are laid out as we think; looked at once.
    pub fn find(py: Python<'_>) -> Option<&'static Self> {
        static FOUND: PyOnceLock<Option<Library>> = PyOnceLock::new();
        // A Python without `ssl`, or with another one, is no error: the methods serve as well.
        FOUND.get_or_init(py, || Self::probe(py).ok().flatten()).as_ref()
    }

    fn probe(py: Python<'_>) -> PyResult<Option<Self>> {
        let module = py.import("_ssl")?;
        let file = CString::new(module.getattr("__file__")?.extract::<String>()?)?;
        let socket_class = module.getattr("_SSLSocket")?.unbind();
        let bio_class = module.getattr("MemoryBIO")?.unbind();
        let Some(found) = Self::load(&file, socket_class, bio_class) else {
            return Ok(None);
        };
        Ok(Some(found).filter(|found| found.knows_the_layout(py).unwrap_or(false)))
    }

    /// Makes a connection and compares the pointers in it with what OpenSSL says of it.
    fn knows_the_layout(&self, py: Python<'_>) -> PyResult<bool> {
        let module = py.import("ssl")?;
        let protocol = module.getattr("PROTOCOL_TLS_SERVER")?;
        let context = module.getattr("SSLContext")?.call1((protocol,))?;
        let [incoming, outgoing] =
            [module.getattr("MemoryBIO")?.call0()?, module.getattr("MemoryBIO")?.call0()?];
        let made = context.call_method1("wrap_bio", (&incoming, &outgoing, true))?;
        let socket = made.getattr("_sslobj")?;
        let long_enough = size_of_objects(&socket)? > CONTEXT * size_of::<usize>()
            && size_of_objects(&context)? > POINTER * size_of::<usize>()
            && size_of_objects(&incoming)? > POINTER * size_of::<usize>();
        if !long_enough
            || !socket.get_type().is(&self.socket_class)
            || !incoming.get_type().is(&self.bio_class)
            || !outgoing.get_type().is(&self.bio_class)
        {
            return Ok(false);
        }
        // SAFETY: it is that long, as has just been asked.
        let owner = unsafe { word(&socket, CONTEXT) };
        // SAFETY: as above.
        let ssl = unsafe { word(&socket, SSL) };
        // SAFETY: as above.
        let known = unsafe { word(&context, POINTER) };
        if owner != context.as_ptr().cast() {
            return Ok(false);
        }
        if ssl.is_null() || !ssl.cast::<usize>().is_aligned() {
            return Ok(false);
        }
        // SAFETY: the word stands between two that were found as expected, where CPython has kept
        // its `SSL*` ever since these objects exist.
        if unsafe { (self.ssl_context)(ssl) } != known {
            return Ok(false);
        }
        // SAFETY: OpenSSL took the pointer for that of our connection; both BIOs are long enough.
        if !unsafe { self.belong_together(ssl, &incoming, &outgoing) } {
            return Ok(false);
        }
        incoming.call_method1("write", (PyBytes::new(py, b"probe"),))?;
        // SAFETY: it is long enough, as above.
        let bio = unsafe { word(&incoming, POINTER) };
        // SAFETY: the pointer has just been shown to be that of the BIO.
        let pending = unsafe { (self.bio_pending)(bio) };
        Ok(pending == b"probe".len())
    }

    /// Empties OpenSSL's queue of errors, so that what stands there later is of the next call. To
    /// look first costs a tenth of emptying a queue that is empty, as it is but after a failure.
    #[inline]
    pub(super) fn forget_errors(&self) {
        // SAFETY: the queue is this thread's own.
        if unsafe { (self.peek_error)() } != 0 {
            // SAFETY: as above.
            unsafe { (self.clear_errors)() };
        }
    }

    /// Whether the two BIOs are those that OpenSSL reads from and writes to.
    ///
    /// # Safety
    ///
    /// `ssl` is the `SSL*` of a live connection, and the objects are longer than [`POINTER`] words.
    pub(super) unsafe fn belong_together(
        &self,
        ssl: *mut c_void,
        incoming: &Bound<'_, PyAny>,
        outgoing: &Bound<'_, PyAny>,
    ) -> bool {
        // SAFETY: the caller answers for the connection.
        let read_bio = unsafe { (self.ssl_read_bio)(ssl) };
        // SAFETY: as above.
        let write_bio = unsafe { (self.ssl_write_bio)(ssl) };
        // SAFETY: the caller answers for the length.
        let incoming = unsafe { word(incoming, POINTER) };
        // SAFETY: as above.
        let outgoing = unsafe { word(outgoing, POINTER) };
        !read_bio.is_null() && !write_bio.is_null() && read_bio == incoming && write_bio == outgoing
    }
}

fn size_of_objects(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    let class: Bound<'_, PyType> = object.get_type();
    class.getattr("__basicsize__")?.extract()
}

/// A word of an object.
///
/// # Safety
///
/// The object is longer than `index` words.
pub(super) unsafe fn word(object: &Bound<'_, PyAny>, index: usize) -> *mut c_void {
    // SAFETY: the caller answers for the length.
    let place = unsafe { object.as_ptr().cast::<*mut c_void>().add(index) };
    // SAFETY: the object is alive and that long; objects are aligned to words.
    unsafe { *place }
}
