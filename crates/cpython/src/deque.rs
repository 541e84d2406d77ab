//! `collections.deque`: its methods at the price of a C call.
//!
//! The functions behind the methods are looked up once, in the descriptors of the class. Whatever
//! is not exactly a deque is asked by name.

use std::ptr;

use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, Py, PyResult, Python, ffi, intern};

use crate::method;

/// The class, and the functions of its methods.
struct Methods {
    class: Py<PyAny>,
    append: ffi::PyCFunction,
    remove: ffi::PyCFunction,
    pop_left: ffi::PyCFunction,
}

// SAFETY: functions are the same in every thread; they are called with the GIL held.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}

impl Methods {
    /// Those for this object, if it is exactly a deque.
    #[inline]
    fn of(object: &Bound<'_, PyAny>) -> Option<&'static Self> {
        static FOUND: PyOnceLock<Option<Methods>> = PyOnceLock::new();
        let py = object.py();
        let found = FOUND.get_or_init(py, || Self::find(py).ok().flatten()).as_ref()?;
        let class: *const ffi::PyTypeObject = object.get_type_ptr();
        ptr::addr_eq(class, found.class.as_ptr()).then_some(found)
    }

    fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        let class = py.import("collections")?.getattr("deque")?;
        let (Some(append), Some(remove), Some(pop_left)) = (
            function(&class.getattr("append")?, ffi::METH_O),
            function(&class.getattr("remove")?, ffi::METH_O),
            function(&class.getattr("popleft")?, ffi::METH_NOARGS),
        ) else {
            return Ok(None);
        };
        Ok(Some(Self { class: class.unbind(), append, remove, pop_left }))
    }
}

/// The function of a method that is called in this way.
fn function(method: &Bound<'_, PyAny>, flags: i32) -> Option<ffi::PyCFunction> {
    let definition = method::definition(method)?;
    if definition.ml_flags != flags {
        return None;
    }
    // SAFETY: the flags say that this is the kind of function.
    Some(unsafe { definition.ml_meth.PyCFunction })
}

fn call<'py>(
    function: ffi::PyCFunction,
    deque: &Bound<'py, PyAny>,
    argument: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let argument = argument.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the object is of the class whose function it is; the argument is alive, or null for
    // a function without one.
    let result = unsafe { function(deque.as_ptr(), argument) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(deque.py(), result) }
}

/// `deque.append(item)`.
///
/// # Errors
///
/// `MemoryError`; what another object's method raises.
#[inline]
pub fn append<'py>(deque: &Bound<'py, PyAny>, item: &Bound<'py, PyAny>) -> PyResult<()> {
    match Methods::of(deque) {
        Some(methods) => call(methods.append, deque, Some(item)).map(drop),
        None => deque.call_method1(intern!(deque.py(), "append"), (item,)).map(drop),
    }
}

/// `deque.remove(item)`.
///
/// # Errors
///
/// ValueError if it is not there; what a comparison raises.
#[inline]
pub fn remove<'py>(deque: &Bound<'py, PyAny>, item: &Bound<'py, PyAny>) -> PyResult<()> {
    match Methods::of(deque) {
        // Who has waited longest is woken and removed first; it need not be searched for.
        Some(methods) if is_first(deque, item) => call(methods.pop_left, deque, None).map(drop),
        Some(methods) => call(methods.remove, deque, Some(item)).map(drop),
        None => deque.call_method1(intern!(deque.py(), "remove"), (item,)).map(drop),
    }
}

/// Whether it is the first item of a deque.
#[inline]
fn is_first(deque: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive; a new reference comes, or null with an exception set.
    let first = unsafe { ffi::PySequence_GetItem(deque.as_ptr(), 0) };
    // SAFETY: as the line above says.
    let first = unsafe { Bound::from_owned_ptr_or_err(deque.py(), first) };
    first.is_ok_and(|first| first.is(item))
}

/// `deque.popleft()`.
///
/// # Errors
///
/// IndexError if it is empty.
#[inline]
pub fn pop_left<'py>(deque: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match Methods::of(deque) {
        Some(methods) => call(methods.pop_left, deque, None),
        None => deque.call_method0(intern!(deque.py(), "popleft")),
    }
}

/// Whether there is nothing in it.
///
/// # Errors
///
/// What another object says to being asked.
#[inline]
pub fn is_empty(deque: &Bound<'_, PyAny>) -> PyResult<bool> {
    if Methods::of(deque).is_some() { Ok(deque.len()? == 0) } else { Ok(!deque.is_truthy()?) }
}
