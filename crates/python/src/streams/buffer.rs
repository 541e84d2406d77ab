//! What has come in and is not read.
//!
//! Mostly that is one bytes object, just as it came from the transport: who reads all of it gets
//! that very object, and who reads a part gets a copy of the part, while a number says how far it
//! was read; of a large piece that nobody else holds the smaller part is copied, be it the part or
//! the rest. With a second piece it becomes a bytearray, as it does when somebody looks at
//! `_buffer`. While somebody else holds that bytearray it is treated as asyncio treats it; nobody
//! sees how far one is read that only we hold.
//!
//! Whatever else somebody has put into `_buffer` is asked through its methods.

use batonloop_cpython::bytearray;
use batonloop_cpython::bytes::{copied, shortened};
use batonloop_cpython::kind::Fields;
use batonloop_cpython::streams::ReaderFields;
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyByteArrayMethods, PyBytes, PyBytesMethods, PySlice,
};
use pyo3::{Bound, PyResult, Python, intern};

use super::PyReader;

/// To copy less than this is cheaper than to give memory back.
const LARGE: usize = 16 * 1024;

/// What holds it.
enum Store<'py> {
    Nothing,
    Chunk(Bound<'py, PyBytes>),
    Array(Bound<'py, PyByteArray>),
    Foreign(Bound<'py, PyAny>),
}

#[inline]
fn store<'py>(fields: &ReaderFields, py: Python<'py>) -> Store<'py> {
    if let Some(chunk) = fields.chunk.get(py)
        && let Ok(chunk) = chunk.cast_into_exact()
    {
        return Store::Chunk(chunk);
    }
    match fields.buffer.get(py).map(Bound::cast_into_exact) {
        None => Store::Nothing,
        Some(Ok(array)) => Store::Array(array),
        Some(Err(error)) => Store::Foreign(error.into_inner()),
    }
}

/// How many bytes there are.
#[inline]
pub(super) fn len(reader: &PyReader<'_>) -> PyResult<usize> {
    let fields = reader.fields();
    match store(fields, reader.py()) {
        Store::Nothing => Ok(0),
        Store::Chunk(chunk) => Ok(chunk.as_bytes().len() - fields.start.get()),
        Store::Array(array) => Ok(array.len().saturating_sub(fields.start.get())),
        Store::Foreign(object) => object.len(),
    }
}

/// Whether there are none.
#[inline]
pub(super) fn is_empty(reader: &PyReader<'_>) -> PyResult<bool> {
    match store(reader.fields(), reader.py()) {
        Store::Foreign(object) => Ok(!object.is_truthy()?),
        _ => Ok(len(reader)? == 0),
    }
}

/// Where a byte first stands; nothing if it does not, or if one must ask for it.
#[inline]
pub(super) fn place_of(reader: &PyReader<'_>, byte: u8) -> Option<usize> {
    let fields = reader.fields();
    let search = |whole: &[u8]| bytearray::find(whole.get(fields.start.get()..)?, &[byte]);
    match store(fields, reader.py()) {
        Store::Chunk(chunk) => search(chunk.as_bytes()),
        Store::Array(array) => bytearray::show(&array, search),
        Store::Nothing | Store::Foreign(_) => None,
    }
}

/// Takes off the first `count` bytes, or all that there are.
#[inline]
pub(super) fn take<'py>(reader: &PyReader<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = reader.py();
    let fields = reader.fields();
    let start = fields.start.get();
    match store(fields, py) {
        Store::Nothing => Ok(PyBytes::new(py, b"")),
        Store::Chunk(chunk) => {
            let whole = chunk.as_bytes();
            if count < whole.len() - start {
                if start == 0 && count >= LARGE && count > whole.len() / 2 {
                    return take_most(fields, chunk, count);
                }
                let taken = copied(py, &whole[start..start + count]).map_err(|error| *error)?;
                fields.start.set(start + count);
                return Ok(taken);
            }
            fields.start.set(0);
            fields.chunk.clear(py);
            if start == 0 {
                return Ok(chunk);
            }
            copied(py, &whole[start..]).map_err(|error| *error)
        }
        Store::Array(array) => take_from_array(fields, &array, count),
        Store::Foreign(object) => {
            let end = count.min(isize::MAX.cast_unsigned()).cast_signed();
            let front = object.get_item(PySlice::new(py, 0, end, 1))?;
            let taken = py.get_type::<PyBytes>().call1((front,))?.cast_into::<PyBytes>()?;
            bytearray::delete_front(&object, end.cast_unsigned())?;
            Ok(taken)
        }
    }
}

/// Takes off the larger part of a chunk that nothing was taken off before: if nobody else holds it,
/// it is the rest that is copied.
fn take_most<'py>(
    fields: &ReaderFields,
    chunk: Bound<'py, PyBytes>,
    count: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = chunk.py();
    let whole = chunk.as_bytes();
    if !fields.chunk.shares_only_with(&chunk) {
        let taken = copied(py, &whole[..count]).map_err(|error| *error)?;
        fields.start.set(count);
        return Ok(taken);
    }
    let rest = copied(py, &whole[count..]).map_err(|error| *error)?;
    fields.chunk.set(rest.into_any());
    shortened(chunk, count)
}

fn take_from_array<'py>(
    fields: &ReaderFields,
    array: &Bound<'py, PyByteArray>,
    count: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = array.py();
    let end = fields.start.get().saturating_add(count).min(array.len());
    let start = fields.start.get().min(end);
    let taken =
        bytearray::show(array, |whole| copied(py, &whole[start..end])).map_err(|error| *error)?;
    delete_from_array(fields, array, end)?;
    Ok(taken)
}

/// Lets go of what stands before `end` in a bytearray.
fn delete_from_array(
    fields: &ReaderFields,
    array: &Bound<'_, PyByteArray>,
    end: usize,
) -> PyResult<()> {
    if is_shared(fields, array) {
        fields.start.set(0);
        return bytearray::delete_front(array, end);
    }
    if end == array.len() {
        fields.start.set(0);
        fields.buffer.clear(array.py());
    } else {
        fields.start.set(end);
    }
    Ok(())
}

/// Whether somebody else holds the bytearray, beside the slot and who asks.
#[inline]
fn is_shared(fields: &ReaderFields, array: &Bound<'_, PyByteArray>) -> bool {
    !fields.buffer.shares_only_with(array)
}

/// Drops the first `count` bytes.
pub(super) fn delete(reader: &PyReader<'_>, count: usize) -> PyResult<()> {
    if let Store::Foreign(object) = store(reader.fields(), reader.py()) {
        return bytearray::delete_front(&object, count);
    }
    take(reader, count).map(drop)
}

/// Drops all.
pub(super) fn clear(reader: &PyReader<'_>) -> PyResult<()> {
    let py = reader.py();
    let fields = reader.fields();
    match store(fields, py) {
        Store::Nothing => {}
        Store::Chunk(_) => {
            fields.start.set(0);
            fields.chunk.clear(py);
        }
        Store::Array(array) => delete_from_array(fields, &array, array.len())?,
        Store::Foreign(object) => {
            object.call_method0(intern!(py, "clear"))?;
        }
    }
    Ok(())
}

/// Where `wanted`, which is not empty, first begins, not before `offset`.
#[inline]
pub(super) fn find(
    reader: &PyReader<'_>,
    wanted: &Bound<'_, PyAny>,
    offset: usize,
) -> PyResult<Option<usize>> {
    let py = reader.py();
    let fields = reader.fields();
    if let Ok(wanted) = wanted.cast_exact::<PyBytes>() {
        let wanted = wanted.as_bytes();
        let search = |whole: &[u8]| {
            let rest = whole.get(fields.start.get() + offset..)?;
            bytearray::find(rest, wanted).map(|place| place + offset)
        };
        match store(fields, py) {
            Store::Nothing => return Ok(None),
            Store::Chunk(chunk) => return Ok(search(chunk.as_bytes())),
            Store::Array(array) => return Ok(bytearray::show(&array, search)),
            Store::Foreign(_) => {}
        }
    }
    let found = shown(reader)?.call_method1(intern!(py, "find"), (wanted, offset))?;
    Ok(usize::try_from(found.extract::<isize>()?).ok())
}

/// Whether `wanted` stands at `place`.
pub(super) fn has_at(reader: &PyReader<'_>, wanted: &[u8], place: usize) -> PyResult<bool> {
    let answer = shown(reader)?.call_method1(
        intern!(reader.py(), "startswith"),
        (PyBytes::new(reader.py(), wanted), place),
    )?;
    answer.is_truthy()
}

/// Puts bytes behind what there is.
#[inline]
pub(super) fn append(reader: &PyReader<'_>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = reader.py();
    let fields = reader.fields();
    match store(fields, py) {
        Store::Nothing => {
            fields.start.set(0);
            fields.chunk.set(data.clone().into_any());
        }
        Store::Chunk(chunk) => {
            let rest = &chunk.as_bytes()[fields.start.get()..];
            let array = bytearray::joined(py, rest, data.as_bytes())?;
            fields.chunk.clear(py);
            fields.start.set(0);
            fields.buffer.set(array.into_any());
        }
        Store::Array(array) => {
            let start = fields.start.get();
            if start >= array.len() / 2 && start > 0 {
                bytearray::delete_front(&array, start)?;
                fields.start.set(0);
            }
            bytearray::append(&array, data.as_bytes())?;
        }
        Store::Foreign(object) => {
            object.call_method1(intern!(py, "extend"), (data,))?;
        }
    }
    Ok(())
}

/// `_buffer`: what there is, as a bytearray that everybody may change, or what was put there.
pub(super) fn shown<'py>(reader: &PyReader<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    let fields = reader.fields();
    let rest = match store(fields, py) {
        Store::Foreign(object) => return Ok(object),
        Store::Array(array) => {
            let start = fields.start.get();
            if start > 0 {
                bytearray::delete_front(&array, start)?;
                fields.start.set(0);
            }
            return Ok(array.into_any());
        }
        Store::Chunk(chunk) => Some(chunk),
        Store::Nothing => None,
    };
    let rest = rest.as_ref().map_or(&b""[..], |chunk| &chunk.as_bytes()[fields.start.get()..]);
    let array = PyByteArray::new(py, rest).into_any();
    put(reader, Some(&array))?;
    Ok(array)
}

/// Puts something into its place; nothing is what was deleted.
pub(super) fn put(reader: &PyReader<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = reader.py();
    let fields = reader.fields();
    let value = value.ok_or_else(crate::futures::cannot_delete)?;
    fields.start.set(0);
    fields.chunk.clear(py);
    fields.buffer.set(value.clone());
    Ok(())
}
