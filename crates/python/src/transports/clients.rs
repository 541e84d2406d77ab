//! The connections of a server.
//!
//! Since 3.13 asyncio's `Server` keeps them in a WeakSet, whose upkeep costs as much as all else
//! that we do for a connection. They are ours, each has a descriptor, and who dies leaves: so a set
//! of numbers says the same. The server itself stays asyncio's.

use std::collections::HashSet;

use batonloop_cpython::cell::LoopCell;
use batonloop_cpython::kind::owners;
use batonloop_cpython::kind::{self, Fields, SocketTransport};
use pyo3::types::{PyAny, PyList};
use pyo3::{Bound, PyResult, Python, pyclass, pymethods};

/// A set of transports that keeps none of them alive.
#[pyclass(frozen, name = "_Clients", module = "batonloop._batonloop")]
pub(crate) struct Clients {
    descriptors: LoopCell<HashSet<i32>>,
}

impl Clients {
    /// Puts a transport in.
    pub(super) fn insert(&self, py: Python<'_>, fd: i32) {
        self.descriptors.with(py, |descriptors| descriptors.insert(fd));
    }

    /// Takes it out; says whether none is left.
    pub(super) fn remove(&self, py: Python<'_>, fd: i32) -> bool {
        self.descriptors.with(py, |descriptors| {
            descriptors.remove(&fd);
            descriptors.is_empty()
        })
    }
}

fn descriptor(transport: &Bound<'_, PyAny>) -> i32 {
    kind::cast::<SocketTransport>(transport).map_or(-1, |ours| ours.fields().descriptor())
}

#[pymethods]
impl Clients {
    #[new]
    fn new() -> Self {
        Self { descriptors: LoopCell::new(HashSet::new()) }
    }

    /// Put a transport in.
    fn add(&self, transport: &Bound<'_, PyAny>) {
        self.insert(transport.py(), descriptor(transport));
    }

    /// Take a transport out, if it is in.
    fn discard(&self, transport: &Bound<'_, PyAny>) {
        self.remove(transport.py(), descriptor(transport));
    }

    /// Return a list of all transports.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let numbers: Vec<i32> =
            self.descriptors.with(py, |descriptors| descriptors.iter().copied().collect());
        PyList::new(py, numbers.into_iter().filter_map(|fd| owners::of(py, fd)))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.descriptors.with(py, |descriptors| descriptors.len())
    }

    fn __contains__(&self, transport: &Bound<'_, PyAny>) -> bool {
        let fd = descriptor(transport);
        self.descriptors.with(transport.py(), |descriptors| descriptors.contains(&fd))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        use pyo3::types::PyAnyMethods;

        Ok(self.copy(py)?.as_any().try_iter()?.into_any())
    }
}
