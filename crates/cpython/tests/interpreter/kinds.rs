//! Types of every kind but one, made once: what a process makes of a kind it keeps.
//!
//! They are simple ones. What asyncio's mean is the host's; here they only live and die.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{Fields, Future, Handle, Kind, Sleep, Task};
use batonloop_cpython::method::{Args, Iteration, Method, Property, TypeSlot};
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyString, PyTuple, PyType};
use pyo3::{Bound, Py, PyErr, PyResult, Python};

/// How often the finalizer of a sleep had something to do.
pub(crate) static SLEEPS_FINALIZED: AtomicUsize = AtomicUsize::new(0);

fn made<'py>(
    place: &'static OnceLock<Py<PyType>>,
    py: Python<'py>,
    make: fn(Python<'_>) -> PyResult<Bound<'_, PyType>>,
) -> Bound<'py, PyType> {
    // Making a type runs Python, but tests come one at a time.
    place.get_or_init(|| make(py).expect("a type").unbind()).bind(py).clone()
}

fn build_on_object<'py, K: Kind>(
    py: Python<'py>,
    builder: TypeBuilder<K>,
) -> PyResult<Bound<'py, PyType>> {
    builder.build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// A handle on `asyncio.Handle`, whose slots it uses.
pub(crate) fn handle(py: Python<'_>) -> Bound<'_, PyType> {
    static PLACE: OnceLock<Py<PyType>> = OnceLock::new();
    made(&PLACE, py, |py| {
        let base = py.import("asyncio")?.getattr("Handle")?;
        let builder = TypeBuilder::<Handle>::new(c"tests.Handle", c"A handle.")
            .slots([TypeSlot::init(|_, _, _| Ok(()))]);
        builder.build(&bases(py, &[&base])?)
    })
}

/// A future on `object`, with a dict and weak references. If it has an unseen exception when it
/// dies, it appends itself to the list that is its result.
pub(crate) fn future(py: Python<'_>) -> Bound<'_, PyType> {
    static PLACE: OnceLock<Py<PyType>> = OnceLock::new();
    fn revive(future: &Bound<'_, Future>) {
        if let Some(list) = future.fields().result.get(future.py()) {
            list.call_method1("append", (future,)).expect("a list");
        }
    }
    made(&PLACE, py, |py| {
        let builder = TypeBuilder::<Future>::new(c"tests.Future", c"A future.")
            .slots([TypeSlot::finalize(revive)])
            .immutable()
            .with_dict_and_weakrefs();
        build_on_object(py, builder)
    })
}

/// A task on that future.
pub(crate) fn task(py: Python<'_>) -> Bound<'_, PyType> {
    static PLACE: OnceLock<Py<PyType>> = OnceLock::new();
    made(&PLACE, py, |py| {
        let base = future(py);
        let builder = TypeBuilder::<Task>::new(c"tests.Task", c"A task.");
        builder.build(&bases(py, &[base.as_any()])?)
    })
}

/// A sleep on `object`, with one of everything that a type can have.
pub(crate) fn sleep(py: Python<'_>) -> Bound<'_, PyType> {
    static PLACE: OnceLock<Py<PyType>> = OnceLock::new();
    made(&PLACE, py, |py| {
        let builder = TypeBuilder::<Sleep>::new(c"tests.Sleep", c"A sleep.")
            .methods([
                Method::no_args(c"nothing", c"Give itself.", |this| Ok(this.as_any().clone())),
                Method::no_args(c"panic", c"Panic.", |_| panic!("a panic in a method")),
                Method::no_args(c"fail", c"Raise.", |_| Err(PyValueError::new_err("no"))),
                Method::one_arg(c"echo", c"Give the argument.", |_, argument| Ok(argument.clone())),
                Method::args(c"parse", c"parse(a, b=None, *, c=None)", parse),
                Method::args(c"count", c"Give positional and keyword arguments.", all_arguments),
                Method::class_getitem(),
            ])
            .properties([
                Property::read(c"fixed", c"Read only.", |this| Ok(this.as_any().clone())),
                Property::write(c"result", c"What it will return.", result, set_result),
            ])
            .slots([
                TypeSlot::init(init),
                TypeSlot::repr(|this| Ok(PyString::new(this.py(), "<a sleep>").into_any())),
                TypeSlot::hash(|this: &Bound<'_, Sleep>| {
                    Ok(isize::from(this.fields().stage()) + 40)
                }),
                TypeSlot::compare(compare),
                TypeSlot::finalize(finalize),
                TypeSlot::awaited(|this| Ok(this.as_any().clone())),
                TypeSlot::iter(|this| Ok(this.as_any().clone())),
                TypeSlot::next(iterate),
                TypeSlot::send(iterate),
            ]);
        build_on_object(py, builder)
    })
}

fn parse<'py>(this: &Bound<'py, Sleep>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let found = args.parse("parse", ["a", "b", "c"], 2)?;
    Ok(PyTuple::new(this.py(), found.map(|one| one.cloned()))?.into_any())
}

fn all_arguments<'py>(
    this: &Bound<'py, Sleep>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let keywords = args.keyword_dict(py)?;
    assert_eq!(args.has_keywords(), !keywords.is_empty());
    let positional = PyTuple::new(py, args.positional())?;
    Ok(PyTuple::new(py, [positional.as_any(), keywords.as_any()])?.into_any())
}

fn result<'py>(this: &Bound<'py, Sleep>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    Ok(this.fields().result.get(py).unwrap_or_else(|| py.None().into_bound(py)))
}

fn set_result(this: &Bound<'_, Sleep>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match value {
        Some(value) => this.fields().result.set(value.clone()),
        None => this.fields().result.clear(this.py()),
    }
    Ok(())
}

fn init(
    this: &Bound<'_, Sleep>,
    args: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let given = match keywords {
        Some(keywords) => keywords.get_item("result")?,
        None => args.as_any().get_item(0).ok(),
    };
    set_result(this, given.as_ref())
}

fn compare<'py>(
    _: &Bound<'py, Sleep>,
    other: &Bound<'py, PyAny>,
    op: CompareOp,
) -> PyResult<Bound<'py, PyAny>> {
    let py = other.py();
    Ok(match op {
        CompareOp::Lt => PyString::new(py, "less").into_any(),
        _ => py.NotImplemented().into_bound(py),
    })
}

/// Counts; what it raises and clears must not touch what is being raised around it.
fn finalize(this: &Bound<'_, Sleep>) {
    let py = this.py();
    SLEEPS_FINALIZED.fetch_add(1, Ordering::Relaxed);
    PyValueError::new_err("in a finalizer").restore(py);
    drop(PyErr::take(py));
}

/// Yields its result, then returns it; an empty one ends it without a value.
fn iterate<'py>(this: &Bound<'py, Sleep>) -> PyResult<Iteration<'py>> {
    let py = this.py();
    let fields = this.fields();
    if fields.stage() == 0 {
        fields.set_stage(1);
        return Ok(Iteration::Yield(result(this)?));
    }
    Ok(fields.result.take(py).map_or(Iteration::End, Iteration::Return))
}
