//! StreamReader, StreamWriter and StreamReaderProtocol.
//!
//! ```text
//!   transport ──data_received──▶ protocol ──feed_data──▶ reader ──settles──▶ who waits in read()
//!   transport ◀─────write─────── writer                  drain() waits in the protocol
//! ```
//!
//! Names, order and messages are those of asyncio's `streams.py`. What a subclass or an object has
//! of its own is called: a short way round a method is taken only for objects of exactly our
//! classes on which nobody has set one.

use batonloop_cpython::streams::StreamReader;
use batonloop_cpython::verify;
use pyo3::exceptions::PyAttributeError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::host::EventLoop;
use crate::names::{self, Imported};

mod buffer;
mod read;
mod lines;
mod reader;
mod release;
mod serving;
mod protocol;
mod writer;

pub(crate) use protocol::make_type as make_protocol_type;
pub(crate) use reader::make_type as make_reader_type;
pub(crate) use serving::add as add_serving;
pub(crate) use writer::make_type as make_writer_type;

type PyReader<'py> = Bound<'py, StreamReader>;

/// The limit that a reader has unless another is given.
const DEFAULT_LIMIT: usize = 1 << 16;

// What the flags of a reader say.
/// `_eof`: nothing more will come.
const EOF: u8 = 1;
/// `_paused`: the transport was asked to pause.
const PAUSED: u8 = 1 << 1;
/// Somebody has set a method on the reader itself.
const PATCHED: u8 = 1 << 2;

/// The loop that was given, or the current one.
fn loop_or_current<'py>(
    event_loop: Option<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    match event_loop {
        Some(event_loop) if !event_loop.is_none() => Ok(event_loop),
        _ => names::GET_EVENT_LOOP.get(py)?.call0(),
    }
}

/// Whether a loop is in debug mode.
fn is_debugged(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    match EventLoop::of(event_loop) {
        Some(host) => Ok(host.debug.get(event_loop.py())),
        None => event_loop.call_method0(intern!(event_loop.py(), "get_debug"))?.is_truthy(),
    }
}

/// An exception of asyncio's with these arguments, raised.
#[cold]
fn asyncio_error<'py>(
    class: &'static Imported,
    arguments: impl pyo3::call::PyCallArgs<'py>,
    py: Python<'py>,
) -> PyErr {
    match class.get(py).and_then(|class| class.call1(arguments)) {
        Ok(exception) => batonloop_cpython::coroutine::raised(&exception),
        Err(error) => error,
    }
}

/// What `__getattribute__` raises of an attribute that was never set.
#[cold]
fn no_attribute(object: &Bound<'_, PyAny>, name: &str) -> PyErr {
    let class = verify::class_name(object);
    PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'"))
}

/// A flag of a kind's struct that Python code may write.
macro_rules! flag_property {
    ($kind:ty, $name:literal, $doc:literal, $flag:ident) => {
        batonloop_cpython::method::Property::write(
            $name,
            $doc,
            |this: &pyo3::Bound<'_, $kind>| {
                Ok($crate::names::boolean(this.py(), this.fields().has($flag)))
            },
            |this: &pyo3::Bound<'_, $kind>, value| {
                this.fields().put($flag, $crate::futures::truth_of(value)?);
                Ok(())
            },
        )
    };
}
use flag_property;
