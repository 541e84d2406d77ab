//! Reading: how its coroutines wait, and what `read()` and `readexactly()` return.
//!
//! ```text
//!             not enough there                 more has come, or the end
//!   created ───────────────────▶ waiting ─────────────────────────────────▶ looked at again
//!      └──────────── enough there, or never enough ───────────▶ done ◀──────────┘
//! ```
//!
//! What is there is taken off in the same step that returns it: who is cancelled has taken nothing.

use std::ffi::CStr;

use batonloop_cpython::coroutine::raised;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Iteration, Method};
use batonloop_cpython::native::{self, Body};
use batonloop_cpython::streams::StreamReader;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyBytesMethods, PyInt, PyList, PyListMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::reader::{is_plain, maybe_resume, resume};
use super::{EOF, PAUSED, PyReader, asyncio_error, buffer};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::mixins::{new_future, optional, owner, with_argument};
use crate::names::{self, none};

/// It waits for a future that is the reader's `_waiter`.
const WAITING: u8 = 1;
/// It waits for what `_wait_for_data()` of a subclass returned.
const WAITING_ELSEWHERE: u8 = 2;
/// It waits for a method that does the work.
pub(super) const DELEGATED: u8 = 3;
/// It waits for a `readline()` of a subclass, in an iteration.
pub(super) const DELEGATED_LINE: u8 = 4;

/// Drives a coroutine of a reader's by one step. The wait that went before is over, however it
/// ended.
#[inline(always)]
pub(super) fn drive_reading<'py>(
    this: &PyCoroutine<'py>,
    thrown: Option<PyErr>,
    body: impl Fn(
        &PyCoroutine<'py>,
        &PyReader<'py>,
        u8,
        PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Then<'py>>,
) -> PyResult<Iteration<'py>> {
    drive(this, thrown, |this, stage, given| {
        let owner = owner(this);
        let reader =
            kind::cast::<StreamReader>(&owner).ok_or_else(|| exceptions::stranger(&owner))?;
        if stage == WAITING {
            reader.fields().waiter.clear(reader.py());
        }
        body(this, reader, stage, given)
    })
}

// ---------------------------------------------------------------------------------------------
// Waiting
// ---------------------------------------------------------------------------------------------

/// Waits for more, by `_wait_for_data()`, whatever that is.
pub(super) fn wait<'py>(reader: &PyReader<'py>, method: &str) -> PyResult<Then<'py>> {
    if is_plain(reader) {
        return begin_to_wait(reader, method);
    }
    let awaitable = reader.call_method1(intern!(reader.py(), "_wait_for_data"), (method,))?;
    Ok(Then::Wait(awaitable, WAITING_ELSEWHERE))
}

fn begin_to_wait<'py>(reader: &PyReader<'py>, method: &str) -> PyResult<Then<'py>> {
    let py = reader.py();
    let fields = reader.fields();
    if !fields.waiter.is_empty() {
        return Err(PyRuntimeError::new_err(format!(
            "{method}() called while another coroutine is already waiting for incoming data"
        )));
    }
    if fields.has(EOF) {
        return Err(PyAssertionError::new_err("_wait_for_data after EOF"));
    }
    // Who waits while the transport pauses would wait for ever.
    if fields.has(PAUSED) {
        resume(reader)?;
    }
    let waiter = new_future(fields.event_loop.get(py).unwrap_or_else(|| none(py)))?;
    fields.waiter.set(waiter.clone());
    Ok(Then::Wait(waiter, WAITING))
}

static WAIT_FOR_DATA: Body = Body {
    name: "_wait_for_data",
    qualified_name: "StreamReader._wait_for_data",
    step: |this, thrown| {
        drive_reading(this, thrown, |this, reader, stage, given| {
            let py = this.py();
            given?;
            if stage != CREATED {
                return Ok(Then::Done(none(py)));
            }
            let method = this.fields().argument.get(py).unwrap_or_else(|| none(py));
            begin_to_wait(reader, &method.str()?.to_string())
        })
    },
};

/// Fails if an exception was set.
#[inline]
pub(super) fn check_exception(reader: &PyReader<'_>) -> PyResult<()> {
    match reader.fields().exception.get(reader.py()) {
        None => Ok(()),
        Some(exception) => Err(raised(&exception)),
    }
}

/// `_maybe_resume_transport()`, whatever that is.
#[inline]
pub(super) fn after_taking(reader: &PyReader<'_>) -> PyResult<()> {
    if is_plain(reader) {
        return maybe_resume(reader);
    }
    reader.call_method0(intern!(reader.py(), "_maybe_resume_transport")).map(drop)
}

/// Takes off so many bytes.
#[inline]
pub(super) fn take<'py>(reader: &PyReader<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let taken = buffer::take(reader, count)?;
    after_taking(reader)?;
    Ok(taken)
}

/// The end came before all that was expected; this is what there was.
#[cold]
pub(super) fn incomplete<'py>(
    partial: Bound<'py, PyBytes>,
    expected: Option<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyErr {
    asyncio_error(&names::INCOMPLETE_READ_ERROR, (partial, expected), py)
}

/// Takes off all, for there will never be enough.
pub(super) fn take_rest<'py>(reader: &PyReader<'py>) -> PyResult<Bound<'py, PyBytes>> {
    buffer::take(reader, usize::MAX)
}

// ---------------------------------------------------------------------------------------------
// read
// ---------------------------------------------------------------------------------------------

static READ: Body = Body {
    name: "read",
    qualified_name: "StreamReader.read",
    step: |this, thrown| drive_reading(this, thrown, read),
};

/// A step of `read(n)`. Until the end of the file it reads blocks as long as the limit.
fn read<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let given = given?;
    if stage == CREATED {
        check_exception(reader)?;
    }
    let wanted = size(this, -1)?;
    match usize::try_from(wanted) {
        Ok(0) => Ok(Then::Done(PyBytes::new(py, b"").into_any())),
        Ok(wanted) => {
            if stage == CREATED && reader.fields().chunk.is_empty() && lacks(reader)? {
                return wait(reader, "read");
            }
            Ok(Then::Done(take(reader, wanted)?.into_any()))
        }
        Err(_) if is_plain(reader) && stage != DELEGATED => read_blocks(this, reader, stage),
        Err(_) => read_blocks_by_method(this, reader, stage, given),
    }
}

/// Whether there is nothing, but will be.
#[inline]
fn lacks(reader: &PyReader<'_>) -> PyResult<bool> {
    Ok(buffer::is_empty(reader)? && !reader.fields().has(EOF))
}

fn read_blocks<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let blocks = blocks(this)?;
    let [limit, _] = reader.fields().limits.get();
    let mut has_waited = stage != CREATED;
    loop {
        if !has_waited {
            check_exception(reader)?;
            if lacks(reader)? {
                return wait(reader, "read");
            }
        }
        has_waited = false;
        let block = take(reader, limit)?;
        if block.as_bytes().is_empty() {
            return joined(&blocks, py);
        }
        blocks.append(block)?;
    }
}

/// The same for a subclass, whose `read()` may be its own.
fn read_blocks_by_method<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    given: Bound<'py, PyAny>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let blocks = blocks(this)?;
    if stage == DELEGATED {
        if !given.is_truthy()? {
            return joined(&blocks, py);
        }
        blocks.append(given)?;
    }
    let limit = reader.getattr(intern!(py, "_limit"))?;
    Ok(Then::Wait(reader.call_method1(intern!(py, "read"), (limit,))?, DELEGATED))
}

/// The blocks read so far.
fn blocks<'py>(this: &PyCoroutine<'py>) -> PyResult<Bound<'py, PyList>> {
    let py = this.py();
    if let Some(blocks) = this.fields().kept.get(py) {
        return Ok(blocks.cast_into()?);
    }
    let blocks = PyList::empty(py);
    this.fields().kept.set(blocks.clone().into_any());
    Ok(blocks)
}

fn joined<'py>(blocks: &Bound<'py, PyList>, py: Python<'py>) -> PyResult<Then<'py>> {
    let joined = PyBytes::new(py, b"").call_method1(intern!(py, "join"), (blocks,))?;
    Ok(Then::Done(joined))
}

/// The number of bytes that was asked for; what is too large for a number is the largest.
#[inline]
fn size(this: &PyCoroutine<'_>, default: isize) -> PyResult<isize> {
    let Some(argument) = this.fields().argument.get(this.py()) else {
        return Ok(default);
    };
    match argument.cast_exact::<PyInt>().map(|number| number.extract::<isize>()) {
        Ok(Ok(number)) => Ok(number),
        _ => odd_size(&argument),
    }
}

#[cold]
fn odd_size(argument: &Bound<'_, PyAny>) -> PyResult<isize> {
    if argument.lt(0)? {
        return Ok(-1);
    }
    match argument.extract::<isize>() {
        Ok(number) => Ok(number),
        Err(_) if argument.is_instance_of::<PyInt>() => Ok(isize::MAX),
        Err(_) => Err(PyTypeError::new_err(NO_SIZE)),
    }
}

/// What the running Python says of a size that is not a number: `read()` cuts a slice, and since
/// 3.15 takes bytes.
#[cfg(not(Py_3_15))]
const NO_SIZE: &str = "slice indices must be integers or None or have an __index__ method";
/// What the running Python says of a size that is not a number: `read()` cuts a slice, and since
/// 3.15 takes bytes.
#[cfg(Py_3_15)]
const NO_SIZE: &str = "n must be an integer or None";

// ---------------------------------------------------------------------------------------------
// readexactly
// ---------------------------------------------------------------------------------------------

static READ_EXACTLY: Body = Body {
    name: "readexactly",
    qualified_name: "StreamReader.readexactly",
    step: |this, thrown| drive_reading(this, thrown, read_exactly),
};

/// A step of `readexactly(n)`.
fn read_exactly<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    given?;
    let Ok(wanted) = usize::try_from(size(this, 0)?) else {
        return Err(PyValueError::new_err("readexactly size can not be less than zero"));
    };
    if stage == CREATED {
        check_exception(reader)?;
    }
    if wanted == 0 {
        return Ok(Then::Done(PyBytes::new(py, b"").into_any()));
    }
    if buffer::len(reader)? >= wanted {
        return Ok(Then::Done(take(reader, wanted)?.into_any()));
    }
    if reader.fields().has(EOF) {
        let expected = this.fields().argument.get(py);
        return Err(incomplete(take_rest(reader)?, expected, py));
    }
    wait(reader, "readexactly")
}

// ---------------------------------------------------------------------------------------------
// As Python sees them
// ---------------------------------------------------------------------------------------------

/// What a method returns that is to be awaited.
#[inline]
pub(super) fn make_coroutine<'py>(
    body: &'static Body,
    this: &PyReader<'py>,
    argument: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let coroutine = native::new(body, this.as_any().clone())?;
    if let Some(argument) = argument {
        coroutine.fields().argument.fill(argument);
    }
    Ok(coroutine.into_any())
}

pub(super) fn methods() -> [Method<StreamReader>; 3] {
    [
        Method::args(c"read", READ_DOC, |this, args| {
            make_coroutine(&READ, this, optional(args, ["StreamReader", "read", "n"])?)
        }),
        Method::args(c"readexactly", EXACTLY_DOC, |this, args| {
            with_argument(args, ["StreamReader", "readexactly", "n"], |wanted| {
                make_coroutine(&READ_EXACTLY, this, Some(wanted.clone()))
            })
        }),
        Method::args(c"_wait_for_data", WAIT_DOC, |this, args| {
            with_argument(args, ["StreamReader", "_wait_for_data", "func_name"], |method| {
                make_coroutine(&WAIT_FOR_DATA, this, Some(method.clone()))
            })
        }),
    ]
}

const READ_DOC: &CStr = c"\
    read(n=-1)\n\nRead up to n bytes, as soon as there is one; all until the end of the file for \
    a negative n.\n\nA coroutine. At the end of the file it returns b''. It is not subject to the \
    limit.";
const EXACTLY_DOC: &CStr = c"\
    readexactly(n)\n\nRead exactly n bytes.\n\nA coroutine. Raises IncompleteReadError if the end \
    of the file comes before, with what there was\nas its partial. It is not subject to the limit.";
const WAIT_DOC: &CStr = c"\
    _wait_for_data(func_name)\n\nWait until more comes, or the end.\n\nA coroutine.";
