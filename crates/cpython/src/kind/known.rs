//! The list of all tasks of ours that are not finished; it owns none of them.
//!
//! Up to CPython 3.13 the interpreter keeps its tasks in a WeakSet, whose upkeep costs more than a
//! step; ours hang in a list through links in their own structs. From 3.14 on the interpreter has
//! such a list itself, one a thread, and a task of ours joins it: then only leaving it is done
//! here.

use crate::layout::TaskFields;

#[cfg(not(Py_3_14))]
mod list {
    use std::cell::Cell;
    use std::ptr;

    use pyo3::types::PyAny;
    use pyo3::{Bound, Python, ffi};

    use super::TaskFields;
    use crate::kind::{Fields, Task};

    struct Head(Cell<*const TaskFields>);

    // SAFETY: read and written with the GIL held only.
    unsafe impl Sync for Head {}

    static HEAD: Head = Head(Cell::new(ptr::null()));

    /// Puts a task that begins to live at the front.
    #[inline]
    pub fn link(task: &Bound<'_, Task>) {
        if !is_linked(task.fields()) {
            link_new(task);
        }
    }

    /// Puts a task at the front that was never in.
    #[inline(always)]
    pub fn link_new(task: &Bound<'_, Task>) {
        let fields = task.fields();
        let first = HEAD.0.get();
        fields.next.set(first);
        fields.previous.set(ptr::null());
        if !first.is_null() {
            // SAFETY: whoever dies leaves the list first, so the first one is alive.
            unsafe { &*first }.previous.set(fields);
        }
        HEAD.0.set(fields);
    }

    #[inline]
    fn is_linked(fields: &TaskFields) -> bool {
        !fields.previous.get().is_null() || ptr::eq(HEAD.0.get(), fields)
    }

    /// Takes a task out, if it is in.
    #[inline]
    pub(crate) fn unlink(fields: &TaskFields) {
        if !is_linked(fields) {
            return;
        }
        let previous = fields.previous.replace(ptr::null());
        let next = fields.next.replace(ptr::null());
        if previous.is_null() {
            HEAD.0.set(next);
        } else {
            // SAFETY: whoever dies leaves the list first, so neighbours are alive.
            unsafe { &*previous }.next.set(next);
        }
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { &*next }.previous.set(previous);
        }
    }

    /// New references to all tasks in the list.
    pub fn all(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
        let mut tasks = Vec::new();
        let mut here = HEAD.0.get();
        while !here.is_null() {
            let object = here.cast_mut().cast();
            // SAFETY: who is in the list is whole; a struct begins with the object's head.
            let count = unsafe { ffi::Py_REFCNT(object) };
            // A subclass with slots drops them before it lets its base leave the list: what they
            // run must not get hold of the dying task.
            if count > 0 {
                // SAFETY: the object is alive, or being finalized, which may revive it.
                tasks.push(unsafe { Bound::from_borrowed_ptr(py, object) });
            }
            // SAFETY: as above.
            here = unsafe { &*here }.next.get();
        }
        tasks
    }
}

#[cfg(not(Py_3_14))]
pub use list::{all, link, link_new};

/// Takes a task out of the list, if it is in.
#[inline]
pub(crate) fn unlink(fields: &TaskFields) {
    #[cfg(not(Py_3_14))]
    list::unlink(fields);
    #[cfg(Py_3_14)]
    leave_interpreters_list(fields);
}

/// Takes a finished task out of the list.
#[inline]
pub fn forget(task: &pyo3::Bound<'_, crate::kind::Task>) {
    use crate::kind::Fields;
    unlink(task.fields());
}

/// What `unregister_task` of `_asynciomodule.c` does: the node's neighbours are joined.
#[cfg(Py_3_14)]
fn leave_interpreters_list(fields: &TaskFields) {
    let next = fields.node_next.replace(std::ptr::null_mut());
    let previous = fields.node_prev.replace(std::ptr::null_mut());
    if next.is_null() || previous.is_null() {
        return;
    }
    // SAFETY: a node is two words, next and previous; neighbours are nodes of live tasks or a
    // list's head, because whoever dies leaves the list first.
    let back = unsafe { next.cast::<*mut u8>().add(1) };
    // SAFETY: as above.
    unsafe { back.write(previous) };
    // SAFETY: as above.
    unsafe { previous.cast::<*mut u8>().write(next) };
}
