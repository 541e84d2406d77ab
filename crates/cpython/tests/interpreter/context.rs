//! A stay in a context ends, however the code inside ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use batonloop_cpython::Outcome;
use batonloop_cpython::context::{copy_current, enter, is_context};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, Python};

use crate::bench::{assert_raised, value, with_python};

/// A variable that says where we are.
fn variable(py: Python<'_>) -> Bound<'_, PyAny> {
    value(py, c"__import__('contextvars').ContextVar('place', default='outside')")
}

#[track_caller]
fn place(variable: &Bound<'_, PyAny>) -> String {
    variable.call_method0("get").and_then(|place| place.extract()).expect("a word")
}

fn set(variable: &Bound<'_, PyAny>, word: &str) -> Outcome {
    variable.call_method1("set", (word,))?;
    Ok(())
}

#[test]
fn what_is_set_inside_stays_inside() {
    with_python(|py| {
        let variable = variable(py);
        let context = copy_current(py).expect("a context");
        enter(&context, |_| set(&variable, "inside")).expect("it can be entered");
        assert_eq!(place(&variable), "outside");
        enter(&context, |_| {
            assert_eq!(place(&variable), "inside", "the context remembers");
            Ok(())
        })
        .expect("it can be entered again");
    });
}

#[test]
fn a_copy_begins_as_the_current_one_and_is_another() {
    with_python(|py| {
        let variable = variable(py);
        let context = copy_current(py).expect("a context");
        enter(&context, |py| {
            set(&variable, "inside")?;
            let copy = copy_current(py)?;
            assert!(!copy.is(&context) && is_context(&copy));
            enter(&copy, |_| {
                assert_eq!(place(&variable), "inside");
                set(&variable, "further inside")
            })?;
            assert_eq!(place(&variable), "inside");
            Ok(())
        })
        .expect("both can be entered");
    });
}

#[test]
fn only_a_context_is_one() {
    with_python(|py| {
        assert!(is_context(&copy_current(py).expect("a context")));
        for other in [c"None", c"{}", c"__import__('contextvars').Context"] {
            assert!(!is_context(&value(py, other)), "{other:?}");
        }
    });
}

#[test]
fn what_is_no_context_is_a_type_error_and_nothing_runs() {
    with_python(|py| {
        let mut ran = false;
        let outcome = enter(&value(py, c"{}"), |_| {
            ran = true;
            Ok(())
        });
        let message = "an instance of Context was expected";
        assert_raised::<PyTypeError, _>(py, outcome.map_err(|error| *error), message);
        assert!(!ran);
    });
}

#[test]
fn a_context_cannot_be_entered_twice_and_the_outer_stay_goes_on() {
    with_python(|py| {
        let variable = variable(py);
        let context = copy_current(py).expect("a context");
        enter(&context, |py| {
            set(&variable, "inside")?;
            let second = enter(&context, |_| set(&variable, "twice inside"));
            let error = second.expect_err("it is entered already");
            assert!(error.is_instance_of::<PyRuntimeError>(py), "{error}");
            assert_eq!(place(&variable), "inside");
            Ok(())
        })
        .expect("the outer stay ends well");
        assert_eq!(place(&variable), "outside");
        enter(&context, |_| Ok(())).expect("nobody is in it any more");
    });
}

#[test]
fn an_error_inside_leaves_the_context_and_gets_out() {
    with_python(|py| {
        let variable = variable(py);
        let context = copy_current(py).expect("a context");
        let outcome = enter(&context, |_| {
            set(&variable, "inside")?;
            Err(PyValueError::new_err("no").into())
        });
        assert_raised::<PyValueError, _>(py, outcome.map_err(|error| *error), "no");
        assert_eq!(place(&variable), "outside");
        enter(&context, |_| Ok(())).expect("nobody is in it any more");
    });
}

#[test]
fn a_panic_inside_leaves_the_context() {
    with_python(|py| {
        let variable = variable(py);
        let context = copy_current(py).expect("a context");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            enter(&context, |_| {
                let _ = set(&variable, "inside");
                panic!("inside");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(place(&variable), "outside");
        enter(&context, |_| Ok(())).expect("nobody is in it any more");
        assert!(PyErr::take(py).is_none(), "nothing is left raised");
    });
}
