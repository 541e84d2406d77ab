//! The struct of task groups.

use std::cell::Cell;

use pyo3::ffi;

use crate::kind::kinds;
use crate::slot::Slot;

/// A task group. Empty slots stand for None.
#[repr(C)]
pub struct TaskGroupFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_loop`.
    pub event_loop: Slot,
    /// `_parent_task`: whose block it is.
    pub parent_task: Slot,
    /// `_tasks`: a set of those that are not done, or have not told yet.
    pub tasks: Slot,
    /// `_on_completed_fut`: what the end of the block waits for.
    pub on_completed: Slot,
    /// `_errors`: a list.
    pub errors: Slot,
    /// `_base_error`.
    pub base_error: Slot,
    /// `_entered`.
    pub entered: Cell<bool>,
    /// `_exiting`.
    pub exiting: Cell<bool>,
    /// `_aborting`.
    pub aborting: Cell<bool>,
    /// `_parent_cancel_requested`.
    pub parent_cancel_requested: Cell<bool>,
}

impl TaskGroupFields {
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// Every slot.
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.event_loop,
            &self.parent_task,
            &self.tasks,
            &self.on_completed,
            &self.errors,
            &self.base_error,
        ] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// Marks a task group.
pub enum TaskGroup {}

kinds!(TaskGroupFields: TaskGroup in TASK_GROUP);
