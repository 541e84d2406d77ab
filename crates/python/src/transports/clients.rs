//! The connections of a server.
//!
//! Since 3.13 asyncio's `Server` keeps them in a WeakSet, whose upkeep costs as much as all else
//! that we do for a connection. Ours leave by themselves when they die, so a list does for them.
//! Other transports, and one of ours that is among another server's already, are in a WeakSet, made
//! when there is one. The server itself stays asyncio's.

use batonloop_cpython::cell::GilSlot;
use batonloop_cpython::kind::{self, SocketTransport};
use pyo3::types::{PyAny, PyAnyMethods, PyList, PyListMethods};
use pyo3::{Bound, PyResult, PyTraverseError, PyVisit, Python, intern, pyclass, pymethods};

/// A set of transports that keeps none of them alive.
#[pyclass(frozen, name = "_Clients", module = "batonloop._batonloop")]
pub(crate) struct Clients {
    ours: kind::clients::Clients,
    others: GilSlot,
}

impl Clients {
    /// Puts a transport in.
    pub(super) fn insert(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if cast(transport).is_some_and(|ours| self.ours.insert(ours)) {
            return Ok(());
        }
        let others = match self.others.slot(py).get(py) {
            Some(others) => others,
            None => {
                let made = py.import("weakref")?.getattr("WeakSet")?.call0()?;
                self.others.slot(py).set(made.clone());
                made
            }
        };
        others.call_method1(intern!(py, "add"), (transport,)).map(drop)
    }

    /// Takes it out; says whether none is left.
    pub(super) fn remove(&self, transport: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = transport.py();
        if let Some(ours) = cast(transport) {
            self.ours.remove(ours);
        }
        if let Some(others) = self.others.slot(py).get(py) {
            others.call_method1(intern!(py, "discard"), (transport,))?;
        }
        Ok(self.count(py)? == 0)
    }

    fn count(&self, py: Python<'_>) -> PyResult<usize> {
        let others = self.others.slot(py).get(py);
        Ok(self.ours.len(py) + others.map_or(Ok(0), |others| others.len())?)
    }
}

fn cast<'a, 'py>(transport: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, SocketTransport>> {
    kind::cast(transport)
}

#[pymethods]
impl Clients {
    #[new]
    fn new() -> Self {
        Self { ours: kind::clients::Clients::default(), others: GilSlot::new() }
    }

    /// Put a transport in.
    fn add(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        self.insert(transport)
    }

    /// Take a transport out, if it is in.
    fn discard(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        self.remove(transport).map(drop)
    }

    /// Return a list of all transports.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = PyList::new(py, self.ours.all(py))?;
        if let Some(others) = self.others.slot(py).get(py) {
            for transport in others.try_iter()? {
                all.append(transport?)?;
            }
        }
        Ok(all)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.count(py)
    }

    fn __contains__(&self, transport: &Bound<'_, PyAny>) -> PyResult<bool> {
        if cast(transport).is_some_and(|ours| self.ours.contains(ours)) {
            return Ok(true);
        }
        let py = transport.py();
        let others = self.others.slot(py).get(py);
        others.map_or(Ok(false), |others| others.contains(transport))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.copy(py)?.as_any().try_iter()?.into_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.others.visit(|slot| slot.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.others.slot(py).clear(py);
    }
}
