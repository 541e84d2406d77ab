//! The transports of one server; none of them is owned here.
//!
//! A transport is in one such list at most, and knows its place there: it leaves without a search.
//! Whoever is in the list shares in owning it, so there is no list to leave that is gone. Whoever
//! dies leaves first: an address in the list is that of a whole object.

use std::sync::Arc;

use pyo3::types::PyAny;
use pyo3::{Bound, Python, ffi};

use crate::kind::{Fields, Kind};
use crate::layout::{Members, TransportFields};

/// A list of transports that keeps none of them alive.
#[derive(Default)]
pub struct Clients(Arc<Members>);

impl Clients {
    /// Puts a transport in; false if it is in another list.
    pub fn insert<K: Kind<Fields = TransportFields>>(&self, transport: &Bound<'_, K>) -> bool {
        let fields = transport.fields();
        if !fields.is_client() {
            fields.become_client(&self.0);
            return true;
        }
        fields.is_client_of(&self.0)
    }

    /// Takes a transport out, if it is in.
    pub fn remove<K: Kind<Fields = TransportFields>>(&self, transport: &Bound<'_, K>) {
        if self.contains(transport) {
            transport.fields().leave_clients();
        }
    }

    /// Whether a transport is in.
    pub fn contains<K: Kind<Fields = TransportFields>>(&self, transport: &Bound<'_, K>) -> bool {
        transport.fields().is_client_of(&self.0)
    }

    /// How many are in.
    pub fn len(&self, _py: Python<'_>) -> usize {
        self.0.with(|members| members.len())
    }

    /// New references to all that are in.
    pub fn all<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let members = self.0.with(|members| members.clone());
        let objects = members.into_iter().map(|fields| fields.cast_mut().cast::<ffi::PyObject>());
        // Who is dying in a subclass and has not come to us yet is shown to nobody.
        // SAFETY: who is in the list is whole; a struct begins with the object's head.
        let alive = objects.filter(|&object| unsafe { ffi::Py_REFCNT(object) } > 0);
        // SAFETY: the transport is alive, and `py` proves the GIL.
        alive.map(|object| unsafe { Bound::from_borrowed_ptr(py, object) }).collect()
    }
}
