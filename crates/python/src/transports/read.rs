//! What arrives, and handing it on.
//!
//! Small pieces go through one hot buffer and are copied to their exact size; where much arrived
//! the last time, the kernel writes straight into the bytes object. One piece a turn: the selector
//! tells again of what is left, and others have their turn before.

use std::io;

use batonloop_cpython::buffer::View;
use batonloop_cpython::bytes::{self, Handed, Spare};
use batonloop_cpython::cell::LoopCell;
use batonloop_cpython::{Outcome, call};
use batonloop_sys::{Heap, socket};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytesMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::{ABOVE, Above, BUFFERED, IS_DIRECT, STEADY, Transport, feed};
use crate::interrupted::unless_it_waits;
use crate::names;

/// Nobody is given more than so many bytes at once.
pub(crate) const MAX_SIZE: usize = 256 * 1024;
/// Pieces up to this size are copied.
pub(crate) const LARGEST_COPY: usize = 4096;

/// What the exception handler is told when the kernel refuses.
const FATAL: &str = "Fatal read error on socket transport";

/// The last piece, if nobody has kept it: its memory serves again for a small one, or for one of
/// just its size, of up to 256 KiB.
static SPARE: Spare = Spare::new();

/// Where small pieces arrive. It belongs to the process: nobody leaves anything in it.
static HOT: LoopCell<Vec<u8>> = LoopCell::new(Vec::new());

/// Where the memory of large pieces comes from.
static HEAP: LoopCell<Heap> = LoopCell::new(Heap::new());

/// Lends the memory where small pieces arrive; `leaf` calls no Python.
#[inline]
pub(crate) fn with_hot<R>(py: Python<'_>, leaf: impl FnOnce(&mut [u8]) -> R) -> R {
    HOT.with(py, |hot| {
        if hot.is_empty() {
            hot.resize(MAX_SIZE, 0);
        }
        leaf(hot)
    })
}

impl<'py> Transport<'_, 'py> {
    /// The reader is roused.
    #[inline]
    pub(super) fn read(self) -> PyResult<()> {
        if self.fields.conn_lost.get() != 0 {
            return Ok(());
        }
        if self.fields.has(BUFFERED) {
            if self.fields.has(IS_DIRECT)
                && let Some(above) = ABOVE.get(self.py())
            {
                return self.read_directly(above);
            }
            return self.read_into_buffer();
        }
        let data = match self.receive(socket::recv) {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(()),
            Err(error) => return self.fatal_error(error, FATAL),
        };
        if data.bytes.as_bytes().is_empty() {
            return self.read_eof();
        }
        match self.hand_over(data) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.fatal_error(*error, "Fatal error: protocol.data_received() call failed.")
            }
        }
    }

    /// Gives to the protocol what has arrived.
    #[inline]
    pub(super) fn hand_over(self, data: Handed<'py>) -> Outcome {
        feed(&self.protocol(), &data.bytes)?;
        SPARE.take_back(data);
        Ok(())
    }

    /// What has arrived, empty at the end; nothing if nothing has.
    #[inline]
    pub(super) fn receive(
        self,
        fill: fn(i32, &mut [u8]) -> io::Result<usize>,
    ) -> PyResult<Option<Handed<'py>>> {
        let py = self.py();
        let expected = self.fields.expected.get();
        if expected > LARGEST_COPY {
            return self.receive_directly(expected);
        }
        let received = unless_it_waits(py, || {
            let fd = self.fields.open_descriptor(py);
            with_hot(py, |hot| {
                let count = fill(fd, hot)?;
                self.fields.expected.set(count);
                Ok(SPARE.hand_out(py, &hot[..count]))
            })
        })?;
        received.transpose().map_err(|error| *error)
    }

    /// The kernel writes into the bytes object itself. Where the last two pieces were of one size,
    /// it has just that, and its memory serves again; otherwise it has room for a little more than
    /// what came the last time. What exceeds it goes into the hot buffer and is joined to it.
    fn receive_directly(self, expected: usize) -> PyResult<Option<Handed<'py>>> {
        let py = self.py();
        HEAP.with(py, Heap::watch);
        let fields = self.fields;
        let capacity = if fields.has(STEADY) {
            expected
        } else {
            (expected + expected / 8).next_multiple_of(LARGEST_COPY)
        };
        let capacity = capacity.min(MAX_SIZE);
        let receive = |fd| {
            with_hot(py, |hot| {
                let mut spilled = 0;
                let received = SPARE.filled(py, capacity, |memory| {
                    let more = &mut hot[..MAX_SIZE - memory.len()];
                    let count = socket::recv_spilling(fd, memory, more)?;
                    spilled = count.saturating_sub(capacity);
                    if count == expected {
                        fields.add(STEADY);
                    } else {
                        fields.remove(STEADY);
                        fields.expected.set(count.max(expected / 2));
                    }
                    Ok::<_, io::Error>(count - spilled)
                })?;
                match received {
                    Ok(handed) if spilled > 0 => {
                        Ok(Ok(bytes::joined(&handed.bytes, &hot[..spilled])?))
                    }
                    received => Ok(received),
                }
            })
        };
        let received = unless_it_waits(py, || match receive(fields.open_descriptor(py)) {
            Ok(received) => received.map(Ok),
            Err(error) => Ok(Err::<_, PyErr>(error)),
        })?;
        received.transpose()
    }

    /// The same for a protocol of ours: it takes the bytes out of the hot buffer, which is its own
    /// for as long, since what it does with them may run anything.
    fn read_directly(self, above: &'static Above) -> PyResult<()> {
        let py = self.py();
        let mut hot = HOT.with(py, std::mem::take);
        hot.resize(MAX_SIZE, 0);
        let received =
            unless_it_waits(py, || socket::recv(self.fields.open_descriptor(py), &mut hot));
        let outcome = match received {
            Ok(Some(0)) => self.read_eof(),
            // The handler of a signal has handed over to another protocol.
            Ok(Some(count)) if !self.fields.has(IS_DIRECT) => self.pass_on(&hot[..count]),
            Ok(Some(count)) => (above.receive)(&self.protocol(), &hot[..count]).or_else(|error| {
                self.fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")
            }),
            Ok(None) => Ok(()),
            Err(error) => self.fatal_error(error, FATAL),
        };
        HOT.with(py, |place| *place = hot);
        outcome
    }

    /// Gives bytes that were read for another protocol to the one that is in its place.
    #[cold]
    fn pass_on(self, data: &[u8]) -> PyResult<()> {
        let data = match SPARE.hand_out(self.py(), data) {
            Ok(data) => data,
            Err(error) => return self.fatal_error(*error, FATAL),
        };
        if !self.fields.has(BUFFERED) {
            return self.hand_over(data).or_else(|error| {
                self.fatal_error(*error, "Fatal error: protocol.data_received() call failed.")
            });
        }
        let feed = names::FEED_BUFFERED_PROTOCOL.get(self.py())?;
        feed.call1((self.protocol(), data.bytes)).map(drop).or_else(|error| {
            self.fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")
        })
    }

    /// The same for a protocol that lends its own memory.
    fn read_into_buffer(self) -> PyResult<()> {
        let py = self.py();
        let buffer = match lent_buffer(&self.protocol()) {
            Ok(buffer) => buffer,
            Err(error) => {
                let message = "Fatal error: protocol.get_buffer() call failed.";
                return self.fatal_error(error, message);
            }
        };
        let received = match View::write(&buffer) {
            Ok(mut memory) => unless_it_waits(py, || {
                let fd = self.fields.open_descriptor(py);
                memory.fill(|memory| socket::recv(fd, memory))
            }),
            Err(_) => Err(PyTypeError::new_err(format!(
                "recv_into() argument 1 must be read-write bytes-like object, not {}",
                batonloop_cpython::verify::class_name(&buffer)
            ))),
        };
        let count = match received {
            Ok(Some(0)) => return self.read_eof(),
            Ok(Some(count)) => count,
            Ok(None) => return Ok(()),
            Err(error) => return self.fatal_error(error, FATAL),
        };
        drop(buffer);
        // It may have handed over to another protocol when it was asked for memory.
        let protocol = self.protocol();
        let count = pyo3::IntoPyObject::into_pyobject(count, py)?;
        match call::method1(&protocol, intern!(py, "buffer_updated"), count.as_any()) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.fatal_error(*error, "Fatal error: protocol.buffer_updated() call failed.")
            }
        }
    }

    /// The other side has said that nothing more comes.
    fn read_eof(self) -> PyResult<()> {
        let py = self.py();
        self.log_debug("%r received EOF")?;
        let answer = match self.protocol().call_method0(intern!(py, "eof_received")) {
            Ok(answer) => answer,
            Err(error) => {
                let message = "Fatal error: protocol.eof_received() call failed.";
                return self.fatal_error(error, message);
            }
        };
        if answer.is_truthy()? {
            // The protocol may still write.
            self.stop_reading();
            return Ok(());
        }
        self.close()
    }
}

/// What the protocol lends.
fn lent_buffer<'py>(protocol: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py: Python<'py> = protocol.py();
    let buffer = protocol.call_method1(intern!(py, "get_buffer"), (-1,))?;
    if buffer.len()? == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
    }
    Ok(buffer)
}
