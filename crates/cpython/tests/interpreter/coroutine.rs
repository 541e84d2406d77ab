//! What goes into a coroutine and what comes out, whatever made it.

use batonloop_cpython::Outcome;
use batonloop_cpython::coroutine::{
    Sent, exception_of, is_generator, is_native, raised, send, stop_iteration, throw,
};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyCFunction, PyDict, PyTupleMethods};
use pyo3::{Bound, PyErr, PyResult, Python};

use crate::bench::{assert_raised, define, name, value, with_python};

/// Ways to make something that is driven like a coroutine.
fn makers(py: Python<'_>) -> Bound<'_, PyDict> {
    define(
        py,
        c"import types
@types.coroutine
def pause(word):
    return (yield word)
async def native(value):
    await pause('first')
    return value
def generator(value):
    yield 'first'
    return value
class ByHand:
    def __init__(self, value): self.value, self.started = value, False
    def send(self, _):
        if self.started: raise StopIteration(self.value)
        self.started = True
        return 'first'
async def catches():
    try: await pause('first')
    except ValueError: await pause('caught')
async def swallows():
    try: await pause('first')
    except ValueError: return 'swallowed'
async def fails():
    raise ValueError('no')
",
    )
}

/// What came out, as a word.
#[track_caller]
fn told(outcome: Outcome<Sent<'_>>) -> String {
    match outcome {
        Ok(Sent::Yielded(value)) => format!("yielded {value}"),
        Ok(Sent::Returned(value)) => format!("returned {value}"),
        Err(error) => format!("raised {error}"),
    }
}

#[test]
fn a_coroutine_yields_then_returns() {
    with_python(|py| {
        let makers = makers(py);
        // A tuple and an exception are values that a StopIteration could take for its arguments.
        let values = [c"7", c"None", c"(1, 2)", c"StopIteration(3)", c"ValueError(4)"];
        for maker in ["native", "generator"] {
            for expression in values {
                let returns = value(py, expression);
                let coroutine = name(&makers, maker).call1((&returns,)).expect("it is made");
                assert_eq!(told(send(&coroutine)), "yielded first", "{maker}");
                match send(&coroutine) {
                    Ok(Sent::Returned(value)) => assert!(value.is(&returns), "{maker}: {value}"),
                    other => panic!("{maker}: {}", told(other)),
                }
            }
        }
        let by_hand = name(&makers, "ByHand").call1((7,)).expect("it is made");
        assert_eq!(told(send(&by_hand)), "yielded first");
        assert_eq!(told(send(&by_hand)), "returned 7");
    });
}

#[test]
fn what_only_iterates_is_driven_too() {
    with_python(|py| {
        let iterator = value(py, c"iter([1, 2])");
        let story: Vec<_> = (0..3).map(|_| told(send(&iterator))).collect();
        assert_eq!(story, ["yielded 1", "yielded 2", "returned None"]);
    });
}

#[test]
fn what_a_coroutine_raises_gets_out() {
    with_python(|py| {
        let coroutine = name(&makers(py), "fails").call0().expect("it is made");
        assert_eq!(told(send(&coroutine)), "raised ValueError: no");
        let reused = send(&coroutine).map(told_ok).map_err(|error| *error);
        let message = "cannot reuse already awaited coroutine";
        assert_raised::<PyRuntimeError, _>(py, reused, message);
    });
}

fn told_ok(sent: Sent<'_>) -> String {
    told(Ok(sent))
}

#[test]
fn what_is_thrown_may_be_caught_swallowed_or_let_through() {
    with_python(|py| {
        let makers = makers(py);
        let exception = value(py, c"ValueError('thrown')");
        let story = |maker: &str, argument: &[i32]| {
            let maker = name(&makers, maker);
            let made = match argument {
                [value] => maker.call1((*value,)),
                _ => maker.call0(),
            };
            let coroutine = made.expect("it is made");
            assert_eq!(told(send(&coroutine)), "yielded first");
            let story = told(throw(&coroutine, &exception));
            let _ = coroutine.call_method0("close");
            story
        };
        assert_eq!(story("catches", &[]), "yielded caught");
        assert_eq!(story("swallows", &[]), "returned swallowed");
        assert_eq!(story("native", &[7]), "raised ValueError: thrown");
        assert_eq!(story("generator", &[7]), "raised ValueError: thrown");
    });
}

#[test]
fn what_is_thrown_through_is_the_same_object() {
    with_python(|py| {
        let exception = value(py, c"ValueError('thrown')");
        let coroutine = name(&makers(py), "native").call1((7,)).expect("it is made");
        assert_eq!(told(send(&coroutine)), "yielded first");
        let Err(error) = throw(&coroutine, &exception) else { panic!("nobody catches it") };
        assert!(exception_of(*error, py).is(&exception));
    });
}

#[test]
fn only_an_async_def_makes_a_native_coroutine() {
    with_python(|py| {
        let makers = makers(py);
        let made = |maker: &str| name(&makers, maker).call1((7,)).expect("it is made");
        let [native, generator, by_hand] = [made("native"), made("generator"), made("ByHand")];
        let kinds = |object: &Bound<'_, PyAny>| [is_native(object), is_generator(object)];
        assert_eq!(kinds(&native), [true, false]);
        assert_eq!(kinds(&generator), [false, true]);
        assert_eq!(kinds(&by_hand), [false, false]);
        assert_eq!(kinds(&value(py, c"(1 for _ in ())")), [false, true]);
        native.call_method0("close").expect("it never ran");
    });
}

#[test]
fn a_stop_iteration_carries_its_value_whole() {
    with_python(|py| {
        for expression in [
            c"b'ab'",
            c"b'cd'",
            c"7",
            c"True",
            c"None",
            c"(1, 2)",
            c"()",
            c"StopIteration(3)",
            c"ValueError(4)",
        ] {
            let carried = value(py, expression);
            stop_iteration(py, carried.clone());
            let error = PyErr::take(py).expect("it is raised");
            assert!(error.is_instance_of::<PyStopIteration>(py));
            let value = error.value(py).getattr("value").expect("a value");
            assert!(value.is(&carried), "{expression:?} became {value}");
            // It is whole enough to be shown, kept and let go.
            assert!(error.value(py).repr().expect("words").to_string().starts_with("StopIter"));
        }
    });
}

/// Before 3.12 each is a new one.
#[cfg(Py_3_12)]
#[test]
fn a_stop_iteration_that_somebody_keeps_is_not_raised_again() {
    with_python(|py| {
        let raise = || {
            stop_iteration(py, value(py, c"True"));
            PyErr::take(py).expect("it is raised").into_value(py).into_bound(py)
        };
        let (kept, other) = (raise(), raise());
        assert!(!kept.is(&other));
        let address = other.as_ptr().addr();
        drop(other);
        kept.setattr("value", 7).expect("it can be written");
        // Nobody has it any more, so it serves again; once written into, never.
        let class = py.get_type::<PyStopIteration>();
        let others: Vec<_> = (0..100).map(|_| class.call0().expect("one more")).collect();
        let again = raise();
        assert_eq!(again.as_ptr().addr(), address);
        drop(again);
        for (name, expression) in
            [("note", c"'mine'"), ("args", c"(1,)"), ("__suppress_context__", c"True")]
        {
            let spoilt = raise();
            spoilt.setattr(name, value(py, expression)).expect("it can be written");
            let address = spoilt.as_ptr().addr();
            drop(spoilt);
            let fresh = raise();
            assert_ne!(fresh.as_ptr().addr(), address, "{name}");
            drop(fresh);
        }
        drop(others);
        let fresh = raise();
        assert!(fresh.getattr("note").is_err());
        assert!(fresh.getattr("value").expect("a value").is_truthy().expect("a truth"));
    });
}

/// Before 3.12 each is a new one.
#[cfg(Py_3_12)]
#[test]
fn what_a_stop_iteration_carried_stays_only_if_nobody_notices() {
    with_python(|py| {
        let sys = py.import("sys").expect("it is there");
        let count = |object: &Bound<'_, PyAny>| {
            let count = sys.call_method1("getrefcount", (object,)).expect("a number");
            count.extract::<i64>().expect("a number")
        };
        for (expression, stays) in
            [(c"bytes(range(9))", 1), (c"bytes(4096)", 1), (c"bytes(4097)", 0), (c"{1, 2}", 0)]
        {
            let carried = value(py, expression);
            let before = count(&carried);
            stop_iteration(py, carried.clone());
            drop(PyErr::take(py).expect("it is raised"));
            assert_eq!(count(&carried) - before, stays, "{expression:?}");
            // The next one lets go of it.
            stop_iteration(py, value(py, c"True"));
            drop(PyErr::take(py).expect("it is raised"));
            assert_eq!(count(&carried), before, "{expression:?}");
        }
    });
}

#[test]
fn an_exception_that_was_caught_carries_its_traceback() {
    with_python(|py| {
        let error = py.run(c"def fail(): raise ValueError('no')\nfail()", None, None);
        let exception = exception_of(error.expect_err("it raises"), py);
        assert!(exception.is_instance_of::<PyValueError>());
        let traceback = exception.getattr("__traceback__").expect("an attribute");
        assert!(!traceback.is_none());
        // One that never was raised has none, and is not given one.
        let fresh = exception_of(PyErr::from_value(value(py, c"ValueError()")), py);
        assert!(fresh.getattr("__traceback__").expect("an attribute").is_none());
    });
}

#[test]
fn what_is_raised_remembers_what_is_being_handled() {
    with_python(|py| {
        let raise = PyCFunction::new_closure(py, None, None, |args, _| -> PyResult<_> {
            let py: Python<'_> = args.py();
            let exception = args.get_item(0)?;
            let error = raised(&exception);
            assert!(error.value(py).is(&exception));
            Ok(exception.getattr("__context__")?.unbind())
        });
        let names = PyDict::new(py);
        names.as_any().set_item("raised", raise.expect("a function")).expect("a name");
        let code = c"alone = raised(ValueError())
handled = KeyError()
try: raise handled
except KeyError: context = raised(ValueError())
";
        py.run(code, Some(&names), None).expect("it runs");
        assert!(name(&names, "alone").is_none());
        assert!(name(&names, "context").is(name(&names, "handled")));
    });
}
