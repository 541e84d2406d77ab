//! A builtin function that gets a new body is the same function to everybody who has it.

use std::sync::atomic::{AtomicUsize, Ordering};

use batonloop_cpython::method::Method;
use batonloop_cpython::patch::{Function, call_original, is_replaceable, replace_body};
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult};

use crate::bench::{assert_raised, thing, value, with_python};

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn counted<'py>(
    module: &Bound<'py, PyAny>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    CALLS.fetch_add(1, Ordering::Relaxed);
    call_original(module, Function::SetRunningLoop, &[argument])
}

/// The only test that replaces anything: that is for ever.
#[test]
fn a_new_body_is_called_under_every_name_and_may_call_the_old_one() {
    with_python(|py| {
        let module = py.import("_asyncio").expect("_asyncio");
        let imported_before = module.getattr("_set_running_loop").expect("a function");
        let event_loop = thing(py);
        let none = py.None().into_bound(py);
        let early = call_original(&module, Function::SetRunningLoop, &[&none]);
        assert_raised::<PyRuntimeError, _>(py, early, "the function has its own body");

        assert!(is_replaceable(&imported_before, Function::SetRunningLoop));
        // A body that takes its arguments otherwise changes nothing.
        let wrong = Method::no_args(c"_set_running_loop", c"", |this| Ok(this.clone()));
        replace_body(&imported_before, Function::SetRunningLoop, wrong);
        imported_before.call1((&none,)).expect("the old body");
        let body = Method::one_arg(c"_set_running_loop", c"", counted);
        replace_body(&imported_before, Function::SetRunningLoop, body);
        // Now there is nothing left to replace.
        let late = Method::one_arg(c"_set_running_loop", c"", |_, late| Ok(late.clone()));
        replace_body(&imported_before, Function::SetRunningLoop, late);
        let running = || {
            let running = module.getattr("_get_running_loop").and_then(|get| get.call0());
            running.expect("a loop or None")
        };
        imported_before.call1((&event_loop,)).expect("the new body");
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        assert!(running().is(&event_loop), "the old body did its work");
        module.call_method1("_set_running_loop", (&none,)).expect("the new body");
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
        assert!(running().is_none());
        let too_many = call_original(&module, Function::SetRunningLoop, &[&none, &none, &none]);
        assert!(too_many.is_err());
    });
}

#[test]
fn only_the_function_that_is_meant_can_get_a_new_body() {
    with_python(|py| {
        let module = py.import("_asyncio").expect("_asyncio");
        let set = module.getattr("_set_running_loop").expect("a function");
        for other in [
            Function::CurrentTask,
            Function::EnterTask,
            Function::LeaveTask,
            Function::SwapCurrentTask,
        ] {
            assert!(!is_replaceable(&set, other), "{:?}", other.name());
        }
        for other in [c"len", c"lambda loop: None", c"3", c"[].append"] {
            assert!(!is_replaceable(&value(py, other), Function::SetRunningLoop), "{other:?}");
        }
    });
}
