//! The bytes of any object that has bytes, without a copy.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use pyo3::types::{PyAny, PyByteArray, PyByteArrayMethods, PyBytes};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

/// The memory of a bytes-like object, held as long as this lives.
///
/// Dropping it may run Python. Whoever else has the object may change its bytes whenever Python
/// runs, and where the memory is shared (an `mmap`, an array that another thread computes without
/// the GIL) at any time. So it is only handed on to the kernel or to OpenSSL, or copied.
///
/// [`show`](Self::show) and [`fill`](Self::fill) hand it on as a slice, for the calls of the kernel
/// take slices. Under one that changes Rust promises nothing; what carries it is that nobody here
/// looks into the slice: a leaf passes it, or a part of it, to one call of the kernel.
pub struct View<'py> {
    raw: ffi::Py_buffer,
    py: Python<'py>,
}

impl<'py> View<'py> {
    /// The bytes of `object`, to be read.
    ///
    /// # Errors
    ///
    /// TypeError for what has no bytes; BufferError if they do not stand in one row.
    #[inline]
    pub fn read(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::new(object, ffi::PyBUF_SIMPLE)
    }

    /// The bytes of `object`, to be written.
    ///
    /// # Errors
    ///
    /// BufferError or TypeError for what has no bytes that can be changed.
    #[inline]
    pub fn write(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::new(object, ffi::PyBUF_WRITABLE)
    }

    #[inline]
    fn new(object: &Bound<'py, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut raw = MaybeUninit::<ffi::Py_buffer>::uninit();
        // SAFETY: the object is alive, and the place is one for a `Py_buffer`.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), raw.as_mut_ptr(), flags) } < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: the call succeeded, so it has filled the place.
        Ok(Self { raw: unsafe { raw.assume_init() }, py: object.py() })
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::try_from(self.raw.len).unwrap_or(0)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows the bytes to `leaf`, which must not call Python, for that could change them, and gives
    /// them to the kernel without a look at them.
    pub fn show<R>(&self, leaf: impl FnOnce(&[u8]) -> R) -> R {
        if self.is_empty() {
            return leaf(&[]);
        }
        // SAFETY: the memory is held and so long. The leaf lets nobody write it who needs the GIL;
        // of who does not, see the type.
        leaf(unsafe { std::slice::from_raw_parts(self.at(0), self.len()) })
    }

    /// Lets the kernel write the bytes, in `leaf`, which must not call Python nor look at them.
    ///
    /// # Panics
    ///
    /// If they were asked for to be read, and must not be changed.
    pub fn fill<R>(&mut self, leaf: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(self.raw.readonly == 0, "these bytes must not be changed");
        if self.is_empty() {
            return leaf(&mut []);
        }
        // SAFETY: the memory is held for writing and so long. The leaf lets nobody look who needs
        // the GIL; of who does not, see the type.
        leaf(unsafe { std::slice::from_raw_parts_mut(self.at(0), self.len()) })
    }

    /// A copy of the bytes from `start` on.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn copy_from(&self, start: usize) -> PyResult<Bound<'py, PyBytes>> {
        let rest = self.len().saturating_sub(start);
        let size = ffi::Py_ssize_t::try_from(rest).unwrap_or(0);
        // SAFETY: the memory is held, and `rest` bytes of it stand behind `start`; an empty rest
        // reads nothing.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(self.at(start).cast(), size) };
        // SAFETY: a new reference, or null with an exception set.
        let object = unsafe { Bound::<PyAny>::from_owned_ptr_or_err(self.py, object) }?;
        // SAFETY: the call makes a bytes object.
        Ok(unsafe { object.cast_into_unchecked() })
    }

    /// Adds a copy of the bytes to `all`.
    pub fn append_to(&self, all: &mut Vec<u8>) {
        let size = self.len();
        all.reserve(size);
        // SAFETY: there is room for `size` bytes behind what is there.
        let end = unsafe { all.as_mut_ptr().add(all.len()) };
        // SAFETY: the memory is held and `size` long; the vector's is its own.
        unsafe { std::ptr::copy_nonoverlapping(self.at(0), end, size) };
        // SAFETY: the bytes have just been written.
        unsafe { all.set_len(all.len() + size) };
    }

    /// Where the byte at `start`, which is at most the length, stands.
    #[inline]
    pub(crate) fn at(&self, start: usize) -> *mut u8 {
        self.raw.buf.cast::<u8>().wrapping_add(start.min(self.len()))
    }
}

impl Drop for View<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it was filled by `PyObject_GetBuffer`, and the GIL is held.
        unsafe { ffi::PyBuffer_Release(&mut self.raw) };
    }
}

/// Gives `leaf`, which must not call Python, the first `size` bytes of a bytearray, or all.
#[inline]
pub(crate) fn with_bytearray<R>(
    object: &Bound<'_, PyByteArray>,
    size: usize,
    leaf: impl FnOnce(&[u8]) -> R,
) -> R {
    // SAFETY: the GIL is held and the leaf lets nobody else run, so the bytearray stays as it is.
    // Should a thread write its bytes without the GIL: nobody here looks at them, as in `View`.
    let bytes = unsafe { object.as_bytes() };
    leaf(&bytes[..size.min(bytes.len())])
}
