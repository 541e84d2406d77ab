//! Bytes objects that the kernel fills, and memory of other objects that is lent to it.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use pyo3::types::{PyAny, PyBytes};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

/// A bytes object of at most `capacity` bytes: `fill` writes into its memory and says how many.
///
/// # Errors
///
/// The outer one is Python's, `MemoryError`; the inner one is that of `fill`, and then there is no
/// object.
///
/// # Panics
///
/// If `fill` claims more than there was room for.
pub fn filled<'py, E>(
    py: Python<'py>,
    capacity: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> PyResult<Result<Bound<'py, PyBytes>, E>> {
    let size = capacity.cast_signed();
    // SAFETY: null asks for an object whose bytes are not written yet.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), size) };
    // SAFETY: a new reference, or null with an exception set.
    let object = unsafe { Bound::<PyAny>::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: it is a bytes object.
    let memory = unsafe { ffi::PyBytes_AS_STRING(object.as_ptr()) };
    // SAFETY: the memory has `capacity` bytes, and nobody else knows of the object.
    let memory = unsafe { std::slice::from_raw_parts_mut(memory.cast_mut().cast(), capacity) };
    let count = match fill(memory) {
        Ok(count) => count,
        Err(error) => return Ok(Err(error)),
    };
    assert!(count <= capacity, "there was room for {capacity} bytes, not {count}");
    let mut object = object.into_ptr();
    // SAFETY: the one reference to it is ours, and goes in; a new one comes out, or null.
    if count < capacity && unsafe { _PyBytes_Resize(&mut object, count.cast_signed()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: the one reference is ours, and it is a bytes object.
    Ok(Ok(unsafe { Bound::from_owned_ptr(py, object).cast_into_unchecked() }))
}

unsafe extern "C" {
    fn _PyBytes_Resize(object: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// The memory of an object, lent by the buffer protocol until this is dropped.
pub struct Lent<'py> {
    view: Box<ffi::Py_buffer>,
    py: Python<'py>,
}

impl<'py> Lent<'py> {
    /// Borrows the memory of any object that has some, in one piece, for reading.
    ///
    /// # Errors
    ///
    /// TypeError for an object without memory to lend, BufferError if it lies in pieces.
    pub fn for_reading(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::new(object, ffi::PyBUF_SIMPLE)
    }

    /// Borrows it for writing.
    ///
    /// # Errors
    ///
    /// As for [`for_reading`](Self::for_reading), and BufferError for what must not be changed.
    pub fn for_writing(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::new(object, ffi::PyBUF_WRITABLE)
    }

    fn new(object: &Bound<'py, PyAny>, flags: i32) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the object is alive; the view has a place of its own that does not move.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, flags) } < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { view, py: object.py() })
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.view.len.cast_unsigned()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows the bytes to `reader`, which must not call Python: it could change them.
    pub fn read<R>(&self, reader: impl FnOnce(&[u8]) -> R) -> R {
        if self.is_empty() {
            return reader(&[]);
        }
        // SAFETY: the object lends so many bytes until the view is released, and the reader's
        // contract lets nobody write meanwhile.
        reader(unsafe { std::slice::from_raw_parts(self.view.buf.cast(), self.len()) })
    }

    /// Lets `writer` write the bytes; it must not call Python. Only for what was borrowed so.
    ///
    /// # Panics
    ///
    /// If the memory was borrowed for reading and must not be changed.
    pub fn write<R>(&mut self, writer: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(self.view.readonly == 0, "this memory must not be changed");
        if self.is_empty() {
            return writer(&mut []);
        }
        // SAFETY: the object lends so many bytes for writing until the view is released, and the
        // writer's contract lets nobody else look meanwhile.
        writer(unsafe { std::slice::from_raw_parts_mut(self.view.buf.cast(), self.len()) })
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let _ = self.py;
        // SAFETY: the view was filled by the interpreter and is released once; the token proves
        // that the interpreter is held.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}
