//! What locks, queues, streams and their kin have in common: the loop they belong to, those who
//! wait, and attributes and arguments that are like each other's.

use batonloop_cpython::kind::{Fields, Kind};
use batonloop_cpython::method::{self, Args, Method};
use batonloop_cpython::slot::Slot;
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{
    PyAny, PyAnyMethods, PyDict, PyDictMethods, PyMapping, PyString, PyStringMethods, PyTuple,
};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

use crate::coroutines::PyCoroutine;
use crate::futures;
use crate::host::EventLoop;
use crate::names::none;
use crate::parameters::Words;
use crate::running;

/// The running loop, to which `this` belongs from now on.
///
/// RuntimeError if it belongs to another one.
pub(crate) fn get_loop<'py>(this: &Bound<'py, PyAny>, bound: &Slot) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let event_loop = running::get(py).unwrap_or_else(|_| none(py));
    if bound.is_empty() && !event_loop.is_none() {
        bound.fill(event_loop.clone());
    }
    // Outside of a running loop there is none to belong to; the future will say so.
    let is_bound = bound.holds(&event_loop) || (bound.is_empty() && event_loop.is_none());
    if !is_bound {
        let text = format!("{} is bound to a different event loop", this.repr()?);
        return Err(PyRuntimeError::new_err(text));
    }
    Ok(event_loop)
}

/// A new future of a loop.
#[inline(always)]
pub(crate) fn new_future(event_loop: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = event_loop.py();
    if EventLoop::direct(&event_loop).is_some_and(|host| host.has_own_create_future.get(py)) {
        return Ok(futures::new(event_loop)?.into_any());
    }
    event_loop.call_method0(intern!(py, "create_future"))
}

/// What a slot holds, as an attribute; empty is None to Python.
pub(crate) fn shown<'py>(slot: &Slot, py: Python<'py>) -> Bound<'py, PyAny> {
    slot.get(py).unwrap_or_else(|| none(py))
}

/// Writes an attribute that a slot holds; None empties it.
pub(crate) fn set_slot(slot: &Slot, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match value {
        Some(value) if value.is_none() => slot.clear(value.py()),
        Some(value) => slot.set(value.clone()),
        None => return Err(futures::cannot_delete()),
    }
    Ok(())
}

/// Writes an attribute that a slot holds; None is as good as anything.
pub(crate) fn set_whatever(slot: &Slot, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slot.set(value.ok_or_else(futures::cannot_delete)?.clone());
    Ok(())
}

/// An attribute that a slot of a kind's struct holds; an empty slot is None.
macro_rules! slot_property {
    ($kind:ty, $name:literal, $doc:literal, $slot:ident) => {
        batonloop_cpython::method::Property::write(
            $name,
            $doc,
            |this: &pyo3::Bound<'_, $kind>| {
                Ok($crate::mixins::shown(&this.fields().$slot, this.py()))
            },
            |this: &pyo3::Bound<'_, $kind>, value| {
                $crate::mixins::set_slot(&this.fields().$slot, value)
            },
        )
    };
}
pub(crate) use slot_property;

/// Whether the name of an attribute is one of these.
pub(crate) fn is_one_of(name: &Bound<'_, PyAny>, names: &[&str]) -> bool {
    let name = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
    name.is_some_and(|name| names.contains(&name))
}

/// What the coroutine's method was called on.
pub(crate) fn owner<'py>(this: &PyCoroutine<'py>) -> Bound<'py, PyAny> {
    this.fields().owner.get(this.py()).unwrap_or_else(|| none(this.py()))
}

/// What a primitive looks like to `copy` and `pickle`: an object whose dict holds these.
pub(crate) trait Stateful: Kind {
    /// The attributes, in the order in which asyncio's `__init__()` sets them.
    const STATE: &'static [&'static str];

    /// Takes note of an attribute that is set past `__setattr__()`.
    fn look_on<'py>(_this: &Bound<'py, Self>, _name: &Bound<'py, PyAny>) {}
}

/// `__getstate__()` and its kin. The state is what asyncio's object has in its dict; `_loop` is
/// there once it belongs to a loop, and what a subclass has not set is not.
pub(crate) fn state_methods<K: Stateful>() -> [Method<K>; 3] {
    [
        Method::no_args(c"__getstate__", c"Helper for pickle.", state_of),
        Method::one_arg(c"__setstate__", c"Helper for pickle.", set_state),
        // The older protocols of pickle refuse a type that is not written in Python.
        Method::one_arg(
            c"__reduce_ex__",
            c"Helper for pickle.",
            |this: &Bound<'_, K>, protocol: &Bound<'_, PyAny>| {
                let protocol = protocol.extract::<i64>()?.max(2);
                let plain = this.py().get_type::<PyAny>();
                plain.call_method1(intern!(this.py(), "__reduce_ex__"), (this.as_any(), protocol))
            },
        ),
    ]
}

/// What names in the slots of a subclass there are.
fn slot_names<'py>(this: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    py.import("copyreg")?.call_method1(intern!(py, "_slotnames"), (this.get_type(),))
}

fn state_of<'py, K: Stateful>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let (this, py) = (this.as_any(), this.py());
    let state = PyDict::new(py);
    for name in K::STATE {
        if let Some(value) = this.getattr_opt(*name)? {
            state.set_item(name, value)?;
        }
    }
    state.update(this.getattr(intern!(py, "__dict__"))?.cast::<PyMapping>()?)?;
    let event_loop = this.getattr(intern!(py, "_loop"))?;
    if !event_loop.is_none() {
        state.set_item(intern!(py, "_loop"), event_loop)?;
    }
    let slots = PyDict::new(py);
    for name in slot_names(this)?.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        if let Some(value) = this.getattr_opt(&name)? {
            slots.set_item(name, value)?;
        }
    }
    if slots.is_empty() {
        return Ok(state.into_any());
    }
    Ok((state, slots).into_pyobject(py)?.into_any())
}

fn set_state<'py, K: Stateful>(
    this: &Bound<'py, K>,
    state: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let own = this;
    let (this, py) = (this.as_any(), this.py());
    let (state, slots) = match state.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>() {
        Ok(both) => both,
        Err(_) => (state.clone(), none(py)),
    };
    let dict = this.getattr(intern!(py, "__dict__"))?;
    for item in state.cast::<PyDict>()?.copy()?.iter() {
        let (name, value) = item;
        let known = name.cast::<PyString>()?;
        if known == "_loop" || K::STATE.iter().any(|each| known == each) {
            this.setattr(known, value)?;
        } else {
            K::look_on(own, &name);
            dict.set_item(name, value)?;
        }
    }
    if let Ok(slots) = slots.cast::<PyDict>() {
        for (name, value) in slots.copy()?.iter() {
            this.setattr(name.cast::<PyString>()?, value)?;
        }
    }
    Ok(none(py))
}

/// Refuses arguments of an `__init__()` that has none.
pub(crate) fn ensure_nothing(
    class: &'static str,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    Words { class, method: "__init__", names: [], required: 0 }.of_init(args, kwargs).map(drop)
}

/// The one argument that may be given to an `__init__()`.
pub(crate) fn one_argument<'py>(
    class: &'static str,
    name: &'static str,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let words = Words { class, method: "__init__", names: [name], required: 0 };
    let [argument] = words.of_init(args, kwargs)?;
    Ok(argument)
}

/// Calls `act` with the one argument of a method.
#[inline]
pub(crate) fn with_argument<'py, R>(
    args: Args<'_, 'py>,
    [class, method, name]: [&'static str; 3],
    act: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<R>,
) -> PyResult<R> {
    let argument;
    let given = if let ([given], false) = (args.positional(), args.has_keywords()) {
        given
    } else {
        let [found] = Words { class, method, names: [name], required: 1 }.of_call(args)?;
        argument = found.ok_or_else(|| method::missing(method, name, 1))?;
        &argument
    };
    act(given)
}

/// The one argument that may be given to a method.
#[inline]
pub(crate) fn optional<'py>(
    args: Args<'_, 'py>,
    [class, method, name]: [&'static str; 3],
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match (args.positional(), args.has_keywords()) {
        ([], false) => Ok(None),
        ([given], false) => Ok(Some(given.clone())),
        _ => {
            let [found] = Words { class, method, names: [name], required: 0 }.of_call(args)?;
            Ok(found)
        }
    }
}
