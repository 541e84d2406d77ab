//! What differs from one release of asyncio's `StreamReaderProtocol` to the next.
//!
//! It is read off the code of the running one. A method that somebody has put in the place of
//! asyncio's before we came says nothing: then it is as in the release that does least.

use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, Python};

use crate::names;

/// The running release.
pub(super) struct Release {
    /// Whether `__init__()` sets `_stream_writer`, to None.
    pub(super) makes_writer_none: bool,
    /// Whether `connection_made()` sets it, on a server.
    pub(super) keeps_writer: bool,
    /// Whether `connection_lost()` sets it, to None.
    pub(super) forgets_writer: bool,
    /// Whether what `client_connected_cb` raises is reported, and the connection closed.
    pub(super) reports_callback: bool,
}

/// What asyncio says of an exception of `client_connected_cb`.
pub(super) const UNHANDLED: &str = "Unhandled exception in client_connected_cb";

impl Release {
    /// That of the running Python. It is first asked for before anybody puts ours in the place of
    /// asyncio's.
    pub(super) fn running(py: Python<'_>) -> PyResult<&'static Self> {
        static RUNNING: PyOnceLock<Release> = PyOnceLock::new();
        RUNNING.get_or_try_init(py, || Self::read(names::ASYNCIO_STREAM_READER_PROTOCOL.get(py)?))
    }

    fn read(class: &Bound<'_, PyAny>) -> PyResult<Self> {
        let contains = |method: &str, part: &str, wanted: &str| {
            let Some(code) = class.getattr(method)?.getattr_opt("__code__")? else {
                return Ok(false);
            };
            code.getattr(part)?.contains(wanted)
        };
        let names_writer = |method: &str| contains(method, "co_names", "_stream_writer");
        Ok(Self {
            makes_writer_none: names_writer("__init__")?,
            keeps_writer: names_writer("connection_made")?,
            forgets_writer: names_writer("connection_lost")?,
            reports_callback: contains("connection_made", "co_consts", UNHANDLED)?,
        })
    }

    /// Whether a protocol ever has `_stream_writer`.
    pub(super) fn knows_writer(&self) -> bool {
        self.makes_writer_none || self.keeps_writer || self.forgets_writer
    }
}
