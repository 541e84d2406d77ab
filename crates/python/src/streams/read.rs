//! Reading: what `read()`, `readexactly()`, `readuntil()` and `readline()` return.
//!
//! ```text
//!             not enough there                 more has come, or the end
//!   created ───────────────────▶ waiting ─────────────────────────────────▶ looked at again
//!      └──────────── enough there, or never enough ───────────▶ done ◀──────────┘
//! ```
//!
//! What is there is taken off in the same step that returns it: who is cancelled has taken nothing.

use std::ffi::CStr;

use batonloop_cpython::coroutine::{raised as raise, while_handling};
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Args, Method, missing};
use batonloop_cpython::native::{self, Body};
use batonloop_cpython::streams::StreamReader;
use pyo3::exceptions::{
    PyAssertionError, PyRuntimeError, PyStopAsyncIteration, PyTypeError, PyValueError,
};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyBytesMethods, PyInt, PyList, PyListMethods};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python, intern};

use super::reader::{is_plain, maybe_resume, resume};
use super::{EOF, PAUSED, PyReader, buffer, raised};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::mixins::{new_future, owner};
use crate::names::{self, none};

/// It waits for a future that is the reader's `_waiter`.
const WAITING: u8 = 1;
/// It waits for what `_wait_for_data()` of a subclass returned.
const WAITING_ELSEWHERE: u8 = 2;
/// It waits for a method that does the work.
const DELEGATED: u8 = 3;

fn reader_of<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<&'a PyReader<'py>> {
    kind::cast::<StreamReader>(owner).ok_or_else(|| exceptions::stranger(owner))
}

// ---------------------------------------------------------------------------------------------
// Waiting
// ---------------------------------------------------------------------------------------------

/// Waits for more, by `_wait_for_data()`, whatever that is.
fn wait<'py>(reader: &PyReader<'py>, method: &str) -> PyResult<Then<'py>> {
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

/// The wait is over, however it ended.
#[inline]
fn end_wait(reader: &PyReader<'_>, stage: u8) {
    if stage == WAITING {
        reader.fields().waiter.clear(reader.py());
    }
}

static WAIT_FOR_DATA: Body = Body {
    name: "_wait_for_data",
    qualified_name: "StreamReader._wait_for_data",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            let py = this.py();
            let owner = owner(this);
            let reader = reader_of(&owner)?;
            end_wait(reader, stage);
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
fn check_exception(reader: &PyReader<'_>) -> PyResult<()> {
    match reader.fields().exception.get(reader.py()) {
        None => Ok(()),
        Some(exception) => Err(raise(&exception)),
    }
}

/// `_maybe_resume_transport()`, whatever that is.
#[inline]
fn after_taking(reader: &PyReader<'_>) -> PyResult<()> {
    if is_plain(reader) {
        return maybe_resume(reader);
    }
    reader.call_method0(intern!(reader.py(), "_maybe_resume_transport")).map(drop)
}

/// Takes off so many bytes.
#[inline]
fn take<'py>(reader: &PyReader<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let taken = buffer::take(reader, count)?;
    after_taking(reader)?;
    Ok(taken)
}

/// Takes off all, for there will never be enough.
fn take_rest<'py>(reader: &PyReader<'py>) -> PyResult<Bound<'py, PyBytes>> {
    buffer::take(reader, usize::MAX)
}

// ---------------------------------------------------------------------------------------------
// read
// ---------------------------------------------------------------------------------------------

static READ: Body = Body {
    name: "read",
    qualified_name: "StreamReader.read",
    step: |this, thrown| drive(this, thrown, read),
};

/// A step of `read(n)`. Until the end of the file it reads blocks as long as the limit.
fn read<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let owner = owner(this);
    let reader = reader_of(&owner)?;
    end_wait(reader, stage);
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
        Err(_) => Err(PyTypeError::new_err(
            "slice indices must be integers or None or have an __index__ method",
        )),
    }
}

// ---------------------------------------------------------------------------------------------
// readexactly
// ---------------------------------------------------------------------------------------------

static READ_EXACTLY: Body = Body {
    name: "readexactly",
    qualified_name: "StreamReader.readexactly",
    step: |this, thrown| drive(this, thrown, read_exactly),
};

/// A step of `readexactly(n)`.
fn read_exactly<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let owner = owner(this);
    let reader = reader_of(&owner)?;
    end_wait(reader, stage);
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
        return Err(raised(&names::INCOMPLETE_READ_ERROR, (take_rest(reader)?, expected), py));
    }
    wait(reader, "readexactly")
}

// ---------------------------------------------------------------------------------------------
// readuntil
// ---------------------------------------------------------------------------------------------

/// What a look for a separator came to.
enum Found<'py> {
    /// Not there yet: waits.
    Waiting(Then<'py>),
    /// All up to it, and it.
    Whole(Bound<'py, PyBytes>),
    /// It will never come; this is all there was.
    Incomplete(Bound<'py, PyBytes>),
    /// There is more than the limit allows: what to say, and how much may be taken off.
    Overrun(&'static str, usize),
}

const FOUND_TOO_LATE: &str = "Separator is found, but chunk is longer than limit";
const NOT_FOUND: &str = "Separator is not found, and chunk exceed the limit";

/// Looks for one of the separators, behind what was looked at before.
#[inline]
fn look<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    separators: &Separators<'_, 'py>,
) -> PyResult<Found<'py>> {
    let fields = reader.fields();
    let [limit, _] = fields.limits.get();
    let mut offset = match this.fields().kept.get(this.py()) {
        Some(offset) if stage != CREATED => offset.extract::<usize>()?,
        _ => 0,
    };
    let len = buffer::len(reader)?;
    if len >= offset + separators.shortest {
        if let Some((start, end)) = separators.find(reader, offset)? {
            if start > limit {
                return Ok(Found::Overrun(FOUND_TOO_LATE, start));
            }
            return Ok(Found::Whole(take(reader, end)?));
        }
        // The end of what is there may be the beginning of a separator.
        offset = (len + 1).saturating_sub(separators.longest);
        if offset > limit {
            return Ok(Found::Overrun(NOT_FOUND, offset));
        }
    }
    // A whole separator may be there though nothing more will come: this is asked after it.
    if fields.has(EOF) {
        return Ok(Found::Incomplete(take_rest(reader)?));
    }
    this.fields().kept.set(offset.into_pyobject(this.py())?.into_any());
    wait(reader, "readuntil").map(Found::Waiting)
}

/// What to look for.
struct Separators<'a, 'py> {
    all: &'a [Bound<'py, PyAny>],
    shortest: usize,
    longest: usize,
}

impl<'a, 'py> Separators<'a, 'py> {
    fn new(all: &'a [Bound<'py, PyAny>]) -> PyResult<Self> {
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            let message = "Separator should contain at least one element";
            return Err(PyValueError::new_err(message));
        };
        let this = Self { all, shortest: first.len()?, longest: last.len()? };
        if this.shortest == 0 {
            return Err(PyValueError::new_err("Separator should be at least one-byte string"));
        }
        Ok(this)
    }

    /// Where the one begins that ends first, and where it ends.
    #[inline]
    fn find(&self, reader: &PyReader<'py>, offset: usize) -> PyResult<Option<(usize, usize)>> {
        let mut found: Option<(usize, usize)> = None;
        for separator in self.all {
            let Some(start) = buffer::find(reader, separator, offset)? else {
                continue;
            };
            let end = start + separator.len()?;
            if found.is_none_or(|(_, first)| end < first) {
                found = Some((start, end));
            }
        }
        Ok(found)
    }
}

/// The separators of `readuntil()`, shortest first.
#[cfg(Py_3_13)]
fn separators<'py>(argument: Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    use pyo3::types::{PyDict, PyTuple};

    if !argument.is_instance_of::<PyTuple>() {
        return Ok(vec![argument]);
    }
    let py = argument.py();
    let builtins = py.import("builtins")?;
    let keywords = PyDict::new(py);
    keywords.set_item("key", builtins.getattr("len")?)?;
    let sorted = builtins.getattr("sorted")?.call((argument,), Some(&keywords))?;
    Ok(sorted.cast::<PyList>()?.iter().collect())
}

/// The separator of `readuntil()`; there is one up to 3.12.
#[cfg(not(Py_3_13))]
fn separators(argument: Bound<'_, PyAny>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    Ok(vec![argument])
}

static READ_UNTIL: Body = Body {
    name: "readuntil",
    qualified_name: "StreamReader.readuntil",
    step: |this, thrown| drive(this, thrown, read_until),
};

/// A step of `readuntil(separator)`.
fn read_until<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let owner = owner(this);
    let reader = reader_of(&owner)?;
    end_wait(reader, stage);
    given?;
    let argument = this.fields().argument.get(py);
    let argument = argument.unwrap_or_else(|| PyBytes::new(py, b"\n").into_any());
    let all = separators(argument)?;
    let separators = Separators::new(&all)?;
    if stage == CREATED {
        check_exception(reader)?;
    }
    match look(this, reader, stage, &separators)? {
        Found::Waiting(then) => Ok(then),
        Found::Whole(chunk) => Ok(Then::Done(chunk.into_any())),
        Found::Incomplete(rest) => Err(raised(&names::INCOMPLETE_READ_ERROR, (rest, none(py)), py)),
        Found::Overrun(text, consumed) => Err(overrun(text, consumed, py)),
    }
}

#[cold]
fn overrun(text: &str, consumed: usize, py: Python<'_>) -> PyErr {
    raised(&names::LIMIT_OVERRUN_ERROR, (text, consumed), py)
}

// ---------------------------------------------------------------------------------------------
// readline
// ---------------------------------------------------------------------------------------------

static READ_LINE: Body = Body {
    name: "readline",
    qualified_name: "StreamReader.readline",
    step: |this, thrown| drive(this, thrown, read_line),
};

const NEWLINE: &[u8] = b"\n";

/// A step of `readline()`.
fn read_line<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let owner = owner(this);
    let reader = reader_of(&owner)?;
    end_wait(reader, stage);
    if stage == CREATED
        && given.is_ok()
        && let Some(line) = line_that_is_there(reader)?
    {
        return Ok(Then::Done(line.into_any()));
    }
    let newline = PyBytes::new(py, NEWLINE).into_any();
    if stage == DELEGATED {
        return given.map(Then::Done).or_else(|error| line_of(reader, error).map(Then::Done));
    }
    if stage == CREATED && given.is_ok() && !is_plain(reader) {
        let line = reader.call_method1(intern!(py, "readuntil"), (newline,))?;
        return Ok(Then::Wait(line, DELEGATED));
    }
    // One that was set may be of those that `readuntil()` raises itself.
    let set = given.and_then(|_| if stage == CREATED { check_exception(reader) } else { Ok(()) });
    if let Err(error) = set {
        return line_of(reader, error).map(Then::Done);
    }
    let separators = Separators { all: &[newline], shortest: 1, longest: 1 };
    match look(this, reader, stage, &separators)? {
        Found::Waiting(then) => Ok(then),
        Found::Whole(line) | Found::Incomplete(line) => Ok(Then::Done(line.into_any())),
        Found::Overrun(text, consumed) => {
            line_of(reader, overrun(text, consumed, py)).map(Then::Done)
        }
    }
}

/// A line, if there is a whole one, nothing is unusual and nobody need be asked.
#[inline]
fn line_that_is_there<'py>(reader: &PyReader<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let fields = reader.fields();
    let [limit, _] = fields.limits.get();
    if !is_plain(reader) || !fields.exception.is_empty() {
        return Ok(None);
    }
    match buffer::place_of(reader, NEWLINE[0]) {
        Some(place) if place <= limit => take(reader, place + 1).map(Some),
        _ => Ok(None),
    }
}

/// The line that `readuntil()` could not read: what there was at the end of the file. One that is
/// too long is dropped, and a ValueError.
#[cold]
fn line_of<'py>(reader: &PyReader<'py>, error: PyErr) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    let exception = error.value(py).clone().into_any();
    if error.is_instance(py, names::INCOMPLETE_READ_ERROR.get(py)?) {
        return exception.getattr(intern!(py, "partial"));
    }
    if !error.is_instance(py, names::LIMIT_OVERRUN_ERROR.get(py)?) {
        return Err(error);
    }
    while_handling(&exception, || {
        let consumed = exception.getattr(intern!(py, "consumed"))?.extract::<usize>()?;
        if buffer::has_at(reader, NEWLINE, consumed)? {
            buffer::delete(reader, consumed + NEWLINE.len())?;
        } else {
            buffer::clear(reader)?;
        }
        after_taking(reader)?;
        let text = exception.getattr(intern!(py, "args"))?.get_item(0)?;
        Err(raise(&py.get_type::<PyValueError>().call1((text,))?))
    })
}

/// The next line of an iteration.
pub(super) static NEXT: Body = Body {
    name: "__anext__",
    qualified_name: "StreamReader.__anext__",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            let py = this.py();
            let owner = owner(this);
            let reader = reader_of(&owner)?;
            let line = if stage == CREATED && !is_plain(reader) {
                return Ok(Then::Wait(
                    owner.call_method0(intern!(py, "readline"))?,
                    DELEGATED_LINE,
                ));
            } else if stage == DELEGATED_LINE {
                given?
            } else {
                match read_line(this, stage, given)? {
                    Then::Done(line) => line,
                    waiting => return Ok(waiting),
                }
            };
            if line.eq(PyBytes::new(py, b""))? {
                return Err(PyStopAsyncIteration::new_err(()));
            }
            Ok(Then::Done(line))
        })
    },
};

/// It waits for the `readline()` of a subclass.
const DELEGATED_LINE: u8 = 4;

// ---------------------------------------------------------------------------------------------
// As Python sees them
// ---------------------------------------------------------------------------------------------

/// A coroutine with one argument.
#[inline]
fn with_argument<'py>(
    body: &'static Body,
    this: &PyReader<'py>,
    argument: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let coroutine = native::new(body, this.as_any().clone())?;
    if let Some(argument) = argument {
        coroutine.fields().argument.fill(argument.clone());
    }
    Ok(coroutine.into_any())
}

/// The one argument, which may be left out.
#[inline]
fn optional<'a, 'py>(
    args: Args<'a, 'py>,
    function: &str,
    name: &str,
) -> PyResult<Option<&'a Bound<'py, PyAny>>> {
    match (args.positional(), args.has_keywords()) {
        ([], false) => Ok(None),
        ([argument], false) => Ok(Some(argument)),
        _ => args.parse(function, [name], 1).map(|[argument]| argument),
    }
}

pub(super) fn methods() -> [Method<StreamReader>; 5] {
    [
        Method::args(c"read", READ_DOC, |this, args| {
            with_argument(&READ, this, optional(args, "read", "n")?)
        }),
        Method::args(c"readexactly", EXACTLY_DOC, |this, args| {
            let wanted = optional(args, "readexactly", "n")?;
            let wanted = wanted.ok_or_else(|| missing("readexactly", "n", 1))?;
            with_argument(&READ_EXACTLY, this, Some(wanted))
        }),
        Method::args(c"readuntil", UNTIL_DOC, |this, args| {
            with_argument(&READ_UNTIL, this, optional(args, "readuntil", "separator")?)
        }),
        Method::no_args(c"readline", LINE_DOC, |this: &PyReader<'_>| {
            Ok(native::new(&READ_LINE, this.as_any().clone())?.into_any())
        }),
        Method::args(c"_wait_for_data", WAIT_DOC, |this, args| {
            let method = args.only("_wait_for_data", "func_name")?;
            with_argument(&WAIT_FOR_DATA, this, Some(method))
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
const UNTIL_DOC: &CStr = c"\
    readuntil(separator=b'\\n')\n\nRead until a separator is found, and return all, the separator \
    included.\n\nA coroutine. Raises IncompleteReadError if the end of the file comes before, \
    LimitOverrunError for\nmore than the limit, which is then left unread. From 3.13 on it may be \
    a tuple of separators: the\none that ends first counts.";
const LINE_DOC: &CStr = c"\
    Read until a newline, and return the line with it, or what there is at the end of the \
    file.\n\nA coroutine. Raises ValueError for a line longer than the limit, which is dropped, or \
    all that\nthere is if its end is not there.";
const WAIT_DOC: &CStr = c"\
    _wait_for_data(func_name)\n\nWait until more comes, or the end.\n\nA coroutine.";
