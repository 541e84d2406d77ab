//! Which transport uses which descriptor; none of them is owned here.
//!
//! Nobody else may watch a descriptor that a transport uses, so whoever wants to asks here. Numbers
//! of descriptors are the process's, and so is the table. A transport that dies leaves it first.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::ptr;

use pyo3::types::PyAny;
use pyo3::{Bound, Python, ffi};

use crate::kind::{Fields, Kind};
use crate::layout::TransportFields;

/// The place is the descriptor's number.
struct Table(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: read and written with the GIL held only.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new(Vec::new()));

impl Table {
    fn with<R>(&self, leaf: impl FnOnce(&mut Vec<*mut ffi::PyObject>) -> R) -> R {
        // SAFETY: the GIL is held and nothing else borrows the table while the leaf, which is of
        // this file and calls nobody, runs.
        leaf(unsafe { &mut *self.0.get() })
    }
}

/// Numbers above this are not kept: one huge number would fill the memory with empty places.
const MOST: usize = 1 << 20;

/// Takes note that a transport uses its descriptor.
pub fn remember<K: Kind<Fields = TransportFields>>(transport: &Bound<'_, K>) {
    let Some(place) = place(transport.fields().descriptor()) else {
        return;
    };
    TABLE.with(|table| {
        if table.len() <= place {
            table.resize(place + 1, ptr::null_mut());
        }
        table[place] = transport.as_ptr();
    });
}

/// Takes note that a transport uses its descriptor no longer.
pub fn forget(fields: &TransportFields) {
    if fields.is_open()
        && let Some(place) = place(fields.descriptor())
    {
        TABLE.with(|table| {
            if let Some(owner) = table.get_mut(place)
                && ptr::addr_eq(*owner, fields)
            {
                *owner = ptr::null_mut();
            }
        });
    }
}

/// The transport that uses a descriptor.
pub fn of<'py>(py: Python<'py>, fd: c_int) -> Option<Bound<'py, PyAny>> {
    let owner = place(fd).and_then(|place| TABLE.with(|table| table.get(place).copied()))?;
    if owner.is_null() {
        return None;
    }
    // SAFETY: who dies leaves the table before its memory is freed.
    if unsafe { ffi::Py_REFCNT(owner) } <= 0 {
        // It is dying in a subclass and has not come to us yet: it is shown to nobody.
        return None;
    }
    // SAFETY: the transport is alive, and `py` proves the GIL.
    Some(unsafe { Bound::from_borrowed_ptr(py, owner) })
}

fn place(fd: c_int) -> Option<usize> {
    usize::try_from(fd).ok().filter(|&place| place < MOST)
}
