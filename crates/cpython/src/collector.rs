//! The collector's list of young objects: into it and out of it for less than a call.
//!
//! Every object of ours enters that list when it is made and leaves it when it dies. Asked of the
//! interpreter, that is three calls and a search for the state of the thread: 39 instructions more
//! an object. Up to 3.13 it is a ring through two words in front of each object, and the
//! interpreter's own code does with it, inlined, what stands here. Newer versions divide the young
//! in another way, and are asked; so is one whose ring is not what `prove_layout` expects.

use std::cell::Cell;
use std::ptr;

use pyo3::ffi;
#[cfg(not(Py_3_14))]
use pyo3::types::{PyAny, PyList};
#[cfg(not(Py_3_14))]
use pyo3::{Bound, PyResult, Python};

/// What stands in memory before an object that the collector knows.
#[repr(C)]
struct Head {
    /// Null while it is in no list.
    next: Cell<*const Self>,
    /// With two marks in its lowest bits.
    previous: Cell<*const Self>,
}

const FINALIZED: usize = 1;
const MARKS: usize = 3;

/// The head of the list itself; null if it is not proven.
struct Youngest(Cell<*const Head>);

// SAFETY: it is read and written with the GIL held only.
unsafe impl Sync for Youngest {}

static YOUNGEST: Youngest = Youngest(Cell::new(ptr::null()));

fn head_of(object: *mut ffi::PyObject) -> *const Head {
    object.cast::<Head>().wrapping_sub(1)
}

/// The one before `head`, without its marks.
fn previous_of(head: &Head) -> *const Head {
    head.previous.get().map_addr(|place| place & !MARKS)
}

/// Puts an object into the list of the young.
///
/// # Safety
///
/// The object is of a type that the collector knows, is in no list and not finalized, and may be
/// visited from now on; the GIL is held.
#[inline]
pub(crate) unsafe fn track(object: *mut ffi::PyObject) {
    let youngest = YOUNGEST.0.get();
    if youngest.is_null() {
        // SAFETY: as the caller says.
        return unsafe { ffi::PyObject_GC_Track(object.cast()) };
    }
    // SAFETY: the list was found there, and lives as long as the interpreter.
    let list = unsafe { &*youngest };
    // SAFETY: this stands before every object that the collector knows.
    let head = unsafe { &*head_of(object) };
    let last = list.previous.get();
    // SAFETY: the last in the list is alive, or the list itself; neither has marks.
    unsafe { &*last }.next.set(head);
    head.previous.set(last);
    head.next.set(youngest);
    list.previous.set(head);
}

/// Takes an object out of the list that it is in, if it is in any.
///
/// # Safety
///
/// The object is of a type that the collector knows; the GIL is held.
#[inline]
pub(crate) unsafe fn untrack(object: *mut ffi::PyObject) {
    if YOUNGEST.0.get().is_null() {
        // SAFETY: as the caller says.
        return unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    }
    // SAFETY: this stands before every object that the collector knows.
    let head = unsafe { &*head_of(object) };
    let next = head.next.get();
    if next.is_null() {
        return;
    }
    let previous = previous_of(head);
    // SAFETY: who stands before it in a list is alive, or the list itself.
    unsafe { &*previous }.next.set(next);
    // SAFETY: so is who stands behind it.
    let next = unsafe { &*next };
    next.previous.set(previous.map_addr(|place| place | next.previous.get().addr() & MARKS));
    head.next.set(ptr::null());
    head.previous.set(ptr::without_provenance(head.previous.get().addr() & FINALIZED));
}

/// Whether the finalizer of an object was called before.
///
/// # Safety
///
/// As for [`untrack`].
#[inline]
pub(crate) unsafe fn is_finalized(object: *mut ffi::PyObject) -> bool {
    if YOUNGEST.0.get().is_null() {
        // SAFETY: as the caller says.
        return unsafe { ffi::PyObject_GC_IsFinalized(object) } != 0;
    }
    // SAFETY: this stands before every object that the collector knows.
    unsafe { &*head_of(object) }.previous.get().addr() & FINALIZED != 0
}

/// Lets the interpreter put two objects into the list and take them out again, and a finalizer
/// run: if all that leaves the traces it should, the list is known from now on.
///
/// # Errors
///
/// `MemoryError`.
#[cfg(not(Py_3_14))]
pub fn prove_layout(py: Python<'_>) -> PyResult<bool> {
    // Prereleases of 3.13 had another collector, whose list may look alike.
    if py.version_info().suffix.is_some() {
        return Ok(false);
    }
    let generator = py.eval(c"(None for nothing in ())", None, None)?;
    let list = found_list(&PyList::empty(py), &PyList::empty(py));
    let list = list.filter(|_| finalizing_marks(&generator));
    YOUNGEST.0.set(list.unwrap_or(ptr::null()));
    Ok(list.is_some())
}

/// The head of the list, if two empty lists that enter it stand there as they should.
#[cfg(not(Py_3_14))]
fn found_list(first: &Bound<'_, PyList>, second: &Bound<'_, PyList>) -> Option<*const Head> {
    let (first, second) = (first.as_ptr(), second.as_ptr());
    for object in [first, second] {
        // SAFETY: both are alive, and hold nothing that a visit would have to find.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    }
    for object in [first, second] {
        // SAFETY: as above; they were just taken out.
        unsafe { ffi::PyObject_GC_Track(object.cast()) };
    }
    // SAFETY: two words stand before an object that the collector knows, whatever they mean.
    let [one, two] = [first, second].map(|object| unsafe { &*head_of(object) });
    let list = two.next.get();
    if !ptr::eq(one.next.get(), two) || !ptr::eq(two.previous.get(), one) {
        return None;
    }
    if list.is_null() || !list.is_aligned() {
        return None;
    }
    // SAFETY: the two are linked to each other in both directions by these words, so this is
    // what comes behind them: the list itself.
    let head = unsafe { &*list };
    let was_last = ptr::eq(head.previous.get(), two);
    // SAFETY: the object is alive.
    unsafe { ffi::PyObject_GC_UnTrack(second.cast()) };
    let is_out = two.next.get().is_null() && two.previous.get().is_null();
    let is_closed = ptr::eq(one.next.get(), list) && ptr::eq(head.previous.get(), one);
    // SAFETY: as above; it was just taken out.
    unsafe { ffi::PyObject_GC_Track(second.cast()) };
    (was_last && is_out && is_closed).then_some(list)
}

/// Whether a finalizer that has run leaves the mark, and one that has not leaves none.
#[cfg(not(Py_3_14))]
fn finalizing_marks(generator: &Bound<'_, PyAny>) -> bool {
    // SAFETY: as in `found_list`.
    let head = unsafe { &*head_of(generator.as_ptr()) };
    let marks = || head.previous.get().addr() & MARKS;
    let before = marks();
    // SAFETY: the object is alive, and what its finalizer does is to end it.
    unsafe { ffi::PyObject_CallFinalizer(generator.as_ptr()) };
    before == 0 && marks() == FINALIZED
}
