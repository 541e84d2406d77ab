//! Bytes objects that the kernel fills, and their memory, which serves again.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyBytesMethods};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

use crate::cell::{GilCell, GilSlot};
use crate::{Outcome, fetch};

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
) -> PyResult<Result<Handed<'py>, E>> {
    Filling::new(py, capacity)?.fill(fill)
}

/// A bytes object with this content.
///
/// # Errors
///
/// `MemoryError`.
#[inline]
pub fn copied<'py>(py: Python<'py>, content: &[u8]) -> Outcome<Bound<'py, PyBytes>> {
    let size = content.len().cast_signed();
    // SAFETY: no slice is longer than that; the content is there, and copied.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), size) };
    // SAFETY: a new reference, or null with an exception set.
    let Some(object) = (unsafe { Bound::<PyAny>::from_owned_ptr_or_opt(py, object) }) else {
        return Err(fetch(py));
    };
    // SAFETY: the call makes a bytes object.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// The first `count` bytes of an object that nobody else holds: it becomes that short, and nothing
/// is copied.
///
/// # Errors
///
/// MemoryError; then the bytes are gone. If somebody else holds it, SystemError up to 3.12; since
/// then it is copied.
///
/// # Panics
///
/// If there are not so many.
pub fn shortened<'py>(whole: Bound<'py, PyBytes>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = whole.py();
    let size = whole.as_bytes().len();
    assert!(count <= size, "there are {size} bytes, not {count}");
    Filling { object: whole.into_ptr(), size, filled: count, py }.finish()
}

/// A bytes object that is being filled, and that nobody else knows of.
pub(crate) struct Filling<'py> {
    /// Null if a resize has failed.
    object: *mut ffi::PyObject,
    size: usize,
    /// How many bytes are written.
    pub(crate) filled: usize,
    py: Python<'py>,
}

impl<'py> Filling<'py> {
    pub(crate) fn new(py: Python<'py>, size: usize) -> PyResult<Self> {
        let wanted = ffi::Py_ssize_t::try_from(size).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: null asks for memory that is not filled.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), wanted) };
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(Self { object, size, filled: 0, py })
    }

    /// The same in an object that had another content.
    ///
    /// # Safety
    ///
    /// Nobody else holds the object, its memory has room for `size` bytes, and the layout is
    /// proven.
    unsafe fn again(bytes: Bound<'py, PyBytes>, size: usize) -> Self {
        // SAFETY: the caller answers for all of it.
        unsafe { reset(&bytes, size) };
        let py = bytes.py();
        Self { object: bytes.into_ptr(), size, filled: 0, py }
    }

    fn fill<E>(
        mut self,
        fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
    ) -> PyResult<Result<Handed<'py>, E>> {
        let count = match fill(self.memory()) {
            Ok(count) => count,
            Err(error) => return Ok(Err(error)),
        };
        let capacity = self.size;
        assert!(count <= capacity, "there was room for {capacity} bytes, not {count}");
        self.filled = count;
        Ok(Ok(Handed { bytes: self.finish()?, capacity: count }))
    }

    /// Where the next byte goes.
    pub(crate) fn end(&mut self) -> *mut u8 {
        // SAFETY: it is a bytes object.
        let start = unsafe { ffi::PyBytes_AsString(self.object) };
        // SAFETY: no more is filled than there is.
        unsafe { start.cast::<u8>().add(self.filled) }
    }

    /// The memory behind what is written.
    fn memory(&mut self) -> &mut [MaybeUninit<u8>] {
        let room = self.room();
        // SAFETY: there is that room behind what is filled, and nobody else knows of the object.
        unsafe { std::slice::from_raw_parts_mut(self.end().cast(), room) }
    }

    pub(crate) fn room(&self) -> usize {
        self.size - self.filled
    }

    pub(crate) fn resize(&mut self, size: usize) -> PyResult<()> {
        if size == self.size {
            return Ok(());
        }
        let wanted = ffi::Py_ssize_t::try_from(size).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: nobody else has a reference. A failure lets the object go and leaves null.
        if unsafe { _PyBytes_Resize(&mut self.object, wanted) } < 0 {
            return Err(PyErr::fetch(self.py));
        }
        self.size = size;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> PyResult<Bound<'py, PyBytes>> {
        self.resize(self.filled)?;
        let object = std::mem::replace(&mut self.object, ptr::null_mut());
        // SAFETY: the one reference to a bytes object.
        let object = unsafe { Bound::<PyAny>::from_owned_ptr(self.py, object) };
        // SAFETY: it was made as a bytes object.
        Ok(unsafe { object.cast_into_unchecked() })
    }

    pub(crate) fn finish_if_any(self) -> PyResult<Option<Bound<'py, PyBytes>>> {
        if self.filled == 0 { Ok(None) } else { self.finish().map(Some) }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        // SAFETY: null, or the one reference to a bytes object; the GIL is held.
        drop(unsafe { Bound::<PyAny>::from_owned_ptr_or_opt(self.py, self.object) });
    }
}

/// Two pieces as one bytes object.
///
/// # Errors
///
/// `MemoryError`.
pub fn joined<'py>(first: &Bound<'py, PyBytes>, second: &[u8]) -> PyResult<Handed<'py>> {
    let first_bytes = first.as_bytes();
    let len = first_bytes.len() + second.len();
    let bytes = PyBytes::new_with(first.py(), len, |memory| {
        let (front, back) = memory.split_at_mut(first_bytes.len());
        front.copy_from_slice(first_bytes);
        back.copy_from_slice(second);
        Ok(())
    })?;
    Ok(Handed { bytes, capacity: len })
}

/// The bytes object that was handed out last and came back with nobody else holding it: its memory
/// serves for the next one. To allocate and to free a kilobyte costs more than to send it on.
///
/// What is handed out is never much longer in memory than in bytes, for its new owner may keep it.
pub struct Spare {
    object: GilSlot,
    capacity: GilCell<usize>,
}

/// Longer ones are not kept: their memory is worth giving back.
const LARGEST_SPARE: usize = 256 * 1024;

/// A bytes object and how many bytes its memory has room for.
pub struct Handed<'py> {
    /// The object.
    pub bytes: Bound<'py, PyBytes>,
    capacity: usize,
}

impl Spare {
    /// Nothing came back yet.
    pub const fn new() -> Self {
        Self { object: GilSlot::new(), capacity: GilCell::new(0) }
    }

    /// A bytes object with this content.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    #[inline]
    pub fn hand_out<'py>(&self, py: Python<'py>, content: &[u8]) -> Outcome<Handed<'py>> {
        let len = content.len();
        let capacity = self.capacity.get(py);
        // The interpreter has one object for each single byte: such are shared.
        let suits = |spare| len > 1 && (len..=len + len / 8 + 16).contains(&spare);
        if let Some(bytes) = self.take(py, suits) {
            // SAFETY: nobody else holds it, its memory has room for so many, and the layout is
            // proven.
            let memory = unsafe { reset(&bytes, len) };
            // SAFETY: as above; the content is not in the object, for nobody holds that.
            unsafe { ptr::copy_nonoverlapping(content.as_ptr(), memory, len) };
            return Ok(Handed { bytes, capacity });
        }
        Ok(Handed { bytes: copied(py, content)?, capacity: len })
    }

    /// The same as [`filled`]; an object of just that capacity serves again.
    ///
    /// # Errors
    ///
    /// As for [`filled`].
    ///
    /// # Panics
    ///
    /// As for [`filled`].
    pub fn filled<'py, E>(
        &self,
        py: Python<'py>,
        capacity: usize,
        fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
    ) -> PyResult<Result<Handed<'py>, E>> {
        match self.take(py, |spare| spare == capacity) {
            // SAFETY: `take` answers for the object, which has room for its capacity.
            Some(bytes) => unsafe { Filling::again(bytes, capacity) }.fill(fill),
            None => filled(py, capacity, fill),
        }
    }

    /// The spare object, if there is one whose capacity suits: nobody else holds it, and the layout
    /// is proven.
    #[inline]
    fn take<'py>(
        &self,
        py: Python<'py>,
        suits: impl FnOnce(usize) -> bool,
    ) -> Option<Bound<'py, PyBytes>> {
        if !suits(self.capacity.get(py)) {
            return None;
        }
        let bytes = self.object.slot(py).take(py)?;
        self.capacity.set(py, 0);
        // SAFETY: only `take_back` fills the slot, with bytes.
        Some(unsafe { bytes.cast_into_unchecked() })
    }

    /// Takes an object back if nobody has kept it, and drops it otherwise.
    #[inline]
    pub fn take_back(&self, handed: Handed<'_>) {
        let py = handed.bytes.py();
        // SAFETY: the object is alive.
        let is_ours_alone = unsafe { ffi::Py_REFCNT(handed.bytes.as_ptr()) } == 1;
        let is_worth_it = (2..=LARGEST_SPARE).contains(&handed.capacity);
        if is_ours_alone && is_worth_it && IS_PROVEN.load(Ordering::Relaxed) {
            self.capacity.set(py, handed.capacity);
            self.object.slot(py).set(handed.bytes.into_any());
        }
    }
}

impl Default for Spare {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives a bytes object another size; the answer is where its content is to be written.
///
/// # Safety
///
/// Nobody else holds the object, its memory has room for `size` bytes, and the layout is proven.
#[inline]
unsafe fn reset(bytes: &Bound<'_, PyBytes>, size: usize) -> *mut u8 {
    let object = bytes.as_ptr().cast::<BytesFields>();
    // SAFETY: it is a bytes object, laid out so, which nobody else looks at.
    unsafe { (*object).head.ob_size = size.cast_signed() };
    // SAFETY: as above; the hash of the old content is forgotten.
    unsafe { (*object).hash = -1 };
    // SAFETY: as above.
    let memory = unsafe { (&raw mut (*object).content).cast::<u8>() };
    // SAFETY: a bytes object has room for a zero behind its last byte.
    let end = unsafe { memory.add(size) };
    // SAFETY: as above.
    unsafe { end.write(0) };
    memory
}

/// `PyBytesObject` of `Include/cpython/bytesobject.h`.
#[repr(C)]
struct BytesFields {
    head: ffi::PyVarObject,
    hash: ffi::Py_hash_t,
    content: [u8; 1],
}

/// Whether bytes objects were found to be laid out so.
static IS_PROVEN: AtomicBool = AtomicBool::new(false);

/// Looks at a live bytes object: are size, hash and content where we think? Until it was called
/// with success, no memory is used again.
///
/// # Errors
///
/// `MemoryError`.
pub fn prove_layout(py: Python<'_>) -> PyResult<bool> {
    let probe = PyBytes::new(py, b"batonloop looks at bytes");
    let object = probe.as_ptr().cast::<BytesFields>();
    // Read where they stand and never borrowed, for Python writes the hash meanwhile.
    // SAFETY: a bytes object of this length is longer than the fields, whatever they mean.
    let size = unsafe { (*object).head.ob_size };
    // SAFETY: as above.
    let place = unsafe { &raw const (*object).content };
    // SAFETY: as above.
    let unknown = unsafe { (*object).hash };
    let hash = probe.as_any().hash()?;
    // SAFETY: as above.
    let known = unsafe { (*object).hash };
    // SAFETY: it is a bytes object.
    let content = unsafe { ffi::PyBytes_AS_STRING(probe.as_ptr()) };
    let proven = size == 24 && ptr::addr_eq(content, place) && unknown == -1 && known == hash;
    IS_PROVEN.store(proven, Ordering::Relaxed);
    Ok(proven)
}

unsafe extern "C" {
    fn _PyBytes_Resize(object: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}
