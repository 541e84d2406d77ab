//! `bytearray` where it stands, and searching in bytes.

use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::types::{PyAny, PyByteArray, PyByteArrayMethods};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

/// A bytearray with the content of both.
///
/// # Errors
///
/// `MemoryError`.
pub fn joined<'py>(
    py: Python<'py>,
    first: &[u8],
    second: &[u8],
) -> PyResult<Bound<'py, PyByteArray>> {
    let array = PyByteArray::new(py, first);
    append(&array, second)?;
    Ok(array)
}

/// Shows the content to `leaf`, which must not call Python, for that could change it.
#[inline]
pub fn show<R>(array: &Bound<'_, PyByteArray>, leaf: impl FnOnce(&[u8]) -> R) -> R {
    // SAFETY: the array is alive, and by the contract nobody changes it while the leaf runs.
    leaf(unsafe { array.as_bytes() })
}

/// Puts bytes behind the content; they are not the array's own.
///
/// # Errors
///
/// BufferError if somebody holds the memory; `MemoryError`.
#[inline]
pub fn append(array: &Bound<'_, PyByteArray>, bytes: &[u8]) -> PyResult<()> {
    let len = array.len();
    let wanted = len.saturating_add(bytes.len()).min(isize::MAX.cast_unsigned());
    // SAFETY: it is a bytearray, and the size is no negative number.
    if unsafe { ffi::PyByteArray_Resize(array.as_ptr(), wanted.cast_signed()) } < 0 {
        return Err(PyErr::fetch(array.py()));
    }
    // SAFETY: it is a bytearray.
    let start = unsafe { ffi::PyByteArray_AsString(array.as_ptr()) };
    // SAFETY: it has just been given room for so many.
    let end = unsafe { start.cast::<u8>().add(len) };
    // SAFETY: as above; what is copied is nothing of the array's.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len()) };
    Ok(())
}

/// `del object[:count]`.
///
/// # Errors
///
/// BufferError if somebody holds the memory; what another object says.
pub fn delete_front(object: &Bound<'_, PyAny>, count: usize) -> PyResult<()> {
    // SAFETY: the object is alive.
    if unsafe { ffi::PySequence_DelSlice(object.as_ptr(), 0, count.cast_signed()) } < 0 {
        return Err(PyErr::fetch(object.py()));
    }
    Ok(())
}

/// Where `needle`, which is not empty, first begins.
#[inline]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let start = haystack.as_ptr().cast::<c_void>();
    let found = if let [byte] = needle {
        // SAFETY: the memory is so long.
        unsafe { memchr(start, c_int::from(*byte), haystack.len()) }
    } else {
        let wanted = needle.as_ptr().cast();
        // SAFETY: both memories are so long.
        unsafe { memmem(start, haystack.len(), wanted, needle.len()) }
    };
    if found.is_null() { None } else { Some(found.addr() - start.addr()) }
}

unsafe extern "C" {
    fn memchr(memory: *const c_void, byte: c_int, len: usize) -> *const c_void;
    fn memmem(
        memory: *const c_void,
        len: usize,
        wanted: *const c_void,
        wanted_len: usize,
    ) -> *const c_void;
}
