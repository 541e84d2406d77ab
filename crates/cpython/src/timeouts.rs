//! The struct of timeouts.

use std::cell::Cell;

use pyo3::ffi;

use crate::kind::kinds;
use crate::slot::Slot;

/// A timeout.
#[repr(C)]
pub struct TimeoutFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_when`: the deadline, None for none.
    pub when: Slot,
    /// `_timeout_handler`: the timer; empty for None.
    pub handler: Slot,
    /// `_task`: whom it cancels; empty for None.
    pub task: Slot,
    /// `_cancelling`: how often that was asked for before; empty before it is entered.
    pub cancelling: Slot,
    /// `_state`: the numbers are the host's; zero at birth.
    pub state: Cell<u8>,
}

impl TimeoutFields {
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// Every slot.
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [&self.when, &self.handler, &self.task, &self.cancelling] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// Marks a timeout.
pub enum Timeout {}

kinds!(TimeoutFields: Timeout in TIMEOUT);
