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
use batonloop_sys::socket;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytesMethods};
use pyo3::{Bound, PyResult, Python, intern};

use super::write::is_momentary;
use super::{ABOVE, Above, BUFFERED, IS_DIRECT, STEADY, Transport};
use crate::exceptions;

/// Nobody is given more than so many bytes at once.
pub(super) const MAX_SIZE: usize = 256 * 1024;
/// Pieces up to this size are copied.
pub(crate) const LARGEST_COPY: usize = 4096;

/// The last small piece, if nobody has kept it.
static SPARE: Spare = Spare::new();

/// Where small pieces arrive. It belongs to the process: nobody leaves anything in it.
static HOT: LoopCell<Vec<u8>> = LoopCell::new(Vec::new());

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
        let py = self.py();
        let fd = self.fields.open_descriptor(py);
        let data = match self.receive(fd, socket::recv)? {
            Ok(data) => data,
            Err(error) if is_momentary(&error) => return Ok(()),
            Err(error) => {
                let error = exceptions::os_error(&error, py);
                return self.fatal_error(error, "Fatal read error on socket transport");
            }
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
        let name = intern!(self.py(), "data_received");
        call::method1(&self.protocol(), name, data.bytes.as_any())?;
        SPARE.take_back(data);
        Ok(())
    }

    /// What has arrived, empty at the end.
    #[inline]
    pub(super) fn receive(
        self,
        fd: i32,
        fill: fn(i32, &mut [u8]) -> io::Result<usize>,
    ) -> PyResult<io::Result<Handed<'py>>> {
        let py = self.py();
        let expected = self.fields.expected.get();
        if expected > LARGEST_COPY {
            return self.receive_directly(fd, expected);
        }
        with_hot(py, |hot| {
            Ok(fill(fd, hot).map(|count| {
                self.fields.expected.set(count);
                SPARE.hand_out(py, &hot[..count])
            }))
        })
    }

    /// The kernel writes into the bytes object itself. Where the last two pieces were of one size,
    /// it has just that, and its memory serves again; otherwise it has room for a little more than
    /// what came the last time. What exceeds it goes into the hot buffer and is joined to it.
    fn receive_directly(self, fd: i32, expected: usize) -> PyResult<io::Result<Handed<'py>>> {
        let py = self.py();
        let fields = self.fields;
        let capacity = if fields.has(STEADY) {
            expected
        } else {
            (expected + expected / 8).next_multiple_of(LARGEST_COPY)
        };
        let capacity = capacity.min(MAX_SIZE);
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
                Ok(count - spilled)
            })?;
            match received {
                Ok(handed) if spilled > 0 => Ok(Ok(bytes::joined(&handed.bytes, &hot[..spilled])?)),
                received => Ok(received),
            }
        })
    }

    /// The same for a protocol of ours: it takes the bytes out of the hot buffer, which is its own
    /// for as long, since what it does with them may run anything.
    fn read_directly(self, above: &'static Above) -> PyResult<()> {
        let py = self.py();
        let mut hot = HOT.with(py, std::mem::take);
        hot.resize(MAX_SIZE, 0);
        let outcome = match socket::recv(self.fields.open_descriptor(py), &mut hot) {
            Ok(0) => self.read_eof(),
            Ok(count) => (above.receive)(&self.protocol(), &hot[..count]).or_else(|error| {
                self.fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")
            }),
            Err(error) if is_momentary(&error) => Ok(()),
            Err(error) => self.fatal_error(
                exceptions::os_error(&error, py),
                "Fatal read error on socket transport",
            ),
        };
        HOT.with(py, |place| *place = hot);
        outcome
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
        let fd = self.fields.open_descriptor(self.py());
        let received = match View::write(&buffer) {
            Ok(mut memory) => memory
                .fill(|memory| socket::recv(fd, memory))
                .map_err(|error| (!is_momentary(&error)).then(|| exceptions::os_error(&error, py))),
            Err(_) => Err(Some(PyTypeError::new_err(format!(
                "recv_into() argument 1 must be read-write bytes-like object, not {}",
                batonloop_cpython::verify::class_name(&buffer)
            )))),
        };
        let count = match received {
            Ok(0) => return self.read_eof(),
            Ok(count) => count,
            Err(None) => return Ok(()),
            Err(Some(error)) => {
                return self.fatal_error(error, "Fatal read error on socket transport");
            }
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
