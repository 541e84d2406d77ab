//! Reading up to a separator: what `readuntil()`, `readline()` and an iteration return.

use std::ffi::CStr;

use batonloop_cpython::coroutine::{raised, while_handling};
use batonloop_cpython::kind::Fields;
use batonloop_cpython::method::Method;
use batonloop_cpython::native::Body;
use batonloop_cpython::streams::StreamReader;
use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes};
#[cfg(Py_3_13)]
use pyo3::types::{PyList, PyListMethods};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python, intern};

use super::read::{
    DELEGATED, DELEGATED_LINE, after_taking, check_exception, drive_reading, incomplete,
    make_coroutine, take, take_rest, wait,
};
use super::reader::is_plain;
use super::{EOF, PyReader, asyncio_error, buffer};
use crate::coroutines::{CREATED, PyCoroutine, Then};
use crate::mixins::optional;
use crate::names;

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
    step: |this, thrown| drive_reading(this, thrown, read_until),
};

/// A step of `readuntil(separator)`.
fn read_until<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
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
        Found::Incomplete(rest) => Err(incomplete(rest, None, py)),
        Found::Overrun(text, consumed) => Err(overrun(text, consumed, py)),
    }
}

#[cold]
fn overrun(text: &str, consumed: usize, py: Python<'_>) -> PyErr {
    asyncio_error(&names::LIMIT_OVERRUN_ERROR, (text, consumed), py)
}

// ---------------------------------------------------------------------------------------------
// readline
// ---------------------------------------------------------------------------------------------

static READ_LINE: Body = Body {
    name: "readline",
    qualified_name: "StreamReader.readline",
    step: |this, thrown| drive_reading(this, thrown, read_line),
};

const NEWLINE: &[u8] = b"\n";

/// A step of `readline()`.
fn read_line<'py>(
    this: &PyCoroutine<'py>,
    reader: &PyReader<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
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
        Err(raised(&py.get_type::<PyValueError>().call1((text,))?))
    })
}

/// The next line of an iteration.
pub(super) static NEXT: Body = Body {
    name: "__anext__",
    qualified_name: "StreamReader.__anext__",
    step: |this, thrown| {
        drive_reading(this, thrown, |this, reader, stage, given| {
            let py = this.py();
            let line = if stage == CREATED && !is_plain(reader) {
                return Ok(Then::Wait(
                    reader.call_method0(intern!(py, "readline"))?,
                    DELEGATED_LINE,
                ));
            } else if stage == DELEGATED_LINE {
                given?
            } else {
                match read_line(this, reader, stage, given)? {
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

// ---------------------------------------------------------------------------------------------
// As Python sees them
// ---------------------------------------------------------------------------------------------

pub(super) fn methods() -> [Method<StreamReader>; 2] {
    [
        Method::args(c"readuntil", UNTIL_DOC, |this, args| {
            let separator = optional(args, ["StreamReader", "readuntil", "separator"])?;
            make_coroutine(&READ_UNTIL, this, separator)
        }),
        Method::no_args(c"readline", LINE_DOC, |this| make_coroutine(&READ_LINE, this, None)),
    ]
}

const UNTIL_DOC: &CStr = c"\
    readuntil(separator=b'\\n')\n\nRead until a separator is found, and return all, the separator \
    included.\n\nA coroutine. Raises IncompleteReadError if the end of the file comes before, \
    LimitOverrunError for\nmore than the limit, which is then left unread. From 3.13 on it may be \
    a tuple of separators: the\none that ends first counts.";
const LINE_DOC: &CStr = c"\
    Read until a newline, and return the line with it, or what there is at the end of the \
    file.\n\nA coroutine. Raises ValueError for a line longer than the limit, which is dropped, or \
    all that\nthere is if its end is not there.";
