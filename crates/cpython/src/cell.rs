//! State of a Python object that only the holder of the interpreter touches, and never across a
//! call into it.

use std::cell::{Cell, RefCell};
use std::ptr;

use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyTypeCheck, Python, ffi};

use crate::slot::Slot;

/// State behind a borrow flag: a closure that comes back to the same cell panics, it neither
/// aliases nor deadlocks.
///
/// The flag never trips as long as the closures are leaves: they call nobody and drop no Python
/// object. What they displace they return.
pub struct LoopCell<T>(RefCell<T>);

// SAFETY: every access takes a `Python` token, so only the thread that holds the GIL is inside,
// and a closure cannot let go of the GIL without calling Python, which its contract forbids; if it
// does so all the same, the borrow flag, which only GIL holders read, turns the second access into
// a panic.
unsafe impl<T: Send> Sync for LoopCell<T> {}

impl<T> LoopCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Gives the state to `leaf`, which must call nobody and drop no Python object.
    ///
    /// # Panics
    ///
    /// If called from inside another `with` of the same cell.
    #[inline(always)]
    pub fn with<R>(&self, _py: Python<'_>, leaf: impl FnOnce(&mut T) -> R) -> R {
        leaf(&mut self.0.borrow_mut())
    }

    /// Gives the state to `visitor` if nobody has it now; for the garbage collector, which may
    /// come at any time.
    #[inline]
    pub fn visit<R>(&self, visitor: impl FnOnce(&T) -> R) -> Option<R> {
        // The collector runs with the GIL held but has no token to show.
        self.0.try_borrow().ok().map(|state| visitor(&state))
    }
}

/// A small value that only the holder of the interpreter reads and writes.
pub struct GilCell<T>(Cell<T>);

// SAFETY: every access takes a `Python` token, so one thread at a time is inside.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T: Copy> GilCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    /// The value.
    #[inline]
    pub fn get(&self, _py: Python<'_>) -> T {
        self.0.get()
    }

    /// Puts `value` in the old one's place.
    #[inline]
    pub fn set(&self, _py: Python<'_>, value: T) {
        self.0.set(value);
    }
}

/// A place for one Python object that only the holder of the interpreter touches.
pub struct GilSlot(Slot);

// SAFETY: every access takes a token or an object, which carries one, so one thread at a time is
// inside; an object may be dropped by any thread that holds the GIL.
unsafe impl Sync for GilSlot {}
// SAFETY: as above.
unsafe impl Send for GilSlot {}

impl GilSlot {
    /// An empty place.
    pub const fn new() -> Self {
        Self(Slot::new())
    }

    /// The slot, as long as the interpreter is held.
    #[inline]
    pub fn slot(&self, _py: Python<'_>) -> &Slot {
        &self.0
    }

    /// The slot for the garbage collector, which holds the interpreter without a token.
    #[inline]
    pub fn visit<R>(&self, visitor: impl FnOnce(&Slot) -> R) -> R {
        visitor(&self.0)
    }
}

impl Drop for GilSlot {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // Whoever owns the place is being freed, with the interpreter held while there is one.
            Python::try_attach(|py| self.0.clear(py));
        }
    }
}

impl Default for GilSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// The class of the objects that come by most often, so that they are recognised by a comparison.
pub struct TypeCache(Cell<*mut ffi::PyTypeObject>);

// SAFETY: every access takes an object, which carries a token, so one thread at a time is inside.
unsafe impl Sync for TypeCache {}

impl TypeCache {
    /// A cache that knows no class.
    pub const fn new() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }

    /// `object` as a `T`, if it is one.
    #[inline]
    pub fn cast<'a, 'py, T: PyTypeCheck>(
        &self,
        object: &'a Bound<'py, PyAny>,
    ) -> Option<&'a Bound<'py, T>> {
        // SAFETY: the object is alive.
        if unsafe { ffi::Py_TYPE(object.as_ptr()) } == self.0.get() {
            // SAFETY: the class in the cache is alive for ever, and passed the check before.
            return Some(unsafe { object.cast_unchecked() });
        }
        self.cast_and_learn(object)
    }

    #[cold]
    fn cast_and_learn<'a, 'py, T: PyTypeCheck>(
        &self,
        object: &'a Bound<'py, PyAny>,
    ) -> Option<&'a Bound<'py, T>> {
        let found = object.cast::<T>().ok()?;
        if self.0.get().is_null() {
            // The class is never freed: its address is compared for as long as the process lives.
            self.0.set(object.get_type().into_ptr().cast());
        }
        Some(found)
    }
}

impl Default for TypeCache {
    fn default() -> Self {
        Self::new()
    }
}
