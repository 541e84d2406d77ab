//! Asyncio's own types are recognised, and whatever differs is refused without harm.

use batonloop_cpython::verify::{class_name, futures_are_as_laid_out, handles_are_as_laid_out};
use pyo3::types::{PyAny, PyAnyMethods, PyDict};
use pyo3::{Bound, PyErr, Python};

use crate::bench::{define, name, value, with_python};

fn stock<'py>(py: Python<'py>, name: &str) -> Bound<'py, PyAny> {
    py.import("asyncio").and_then(|asyncio| asyncio.getattr(name)).expect("asyncio has it")
}

/// Classes that differ from asyncio's in one thing each.
fn strangers(py: Python<'_>) -> Bound<'_, PyDict> {
    define(
        py,
        c"import _asyncio, struct
def stranger(base):
    # As large as the base, and with all that a probe asks for; but nothing is where it should be.
    words = (base.__basicsize__ - object.__basicsize__) // struct.calcsize('P')
    class Stranger:
        __slots__ = [f'word{i}' for i in range(words)]
        def __init__(self, *args, **kwargs): pass
        def nothing(self, *args, **kwargs): pass
        add_done_callback = set_result = set_exception = exception = cancel = nothing
        _asyncio_future_blocking = _log_destroy_pending = property(nothing, nothing)
    return Stranger
StrangeFuture, StrangeTask = stranger(_asyncio.Future), stranger(_asyncio.Task)
class ForgetsMessage(_asyncio.Future):
    __slots__ = ()
    def cancel(self, msg=None): return super().cancel()
class ForgetsContext(_asyncio.Future):
    __slots__ = ()
    def add_done_callback(self, callback, *, context): super().add_done_callback(callback)
class Raises(_asyncio.Future):
    __slots__ = ()
    def set_result(self, result): raise RuntimeError
class ForgetsRequest(_asyncio.Task):
    __slots__ = ()
    def cancel(self, msg=None): pass
class ForgetsCount(_asyncio.Task):
    __slots__ = ()
    def cancel(self, msg=None): super().cancel(); self.uncancel()
class Larger(_asyncio.Future):
    __slots__ = ('word',)
",
    )
}

#[test]
fn futures_and_tasks_of_this_python_are_as_laid_out() {
    with_python(|py| {
        let [future, task] = [stock(py, "Future"), stock(py, "Task")];
        assert!(futures_are_as_laid_out(&future, &task));
        assert!(futures_are_as_laid_out(&future, &task), "a probe leaves nothing behind");
        assert!(PyErr::take(py).is_none());
    });
}

#[test]
fn futures_and_tasks_that_differ_are_refused() {
    with_python(|py| {
        let strangers = strangers(py);
        let [future, task] = [stock(py, "Future"), stock(py, "Task")];
        let refused = |future: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>| {
            assert!(!futures_are_as_laid_out(future, task), "{future}, {task}");
            assert!(PyErr::take(py).is_none(), "nothing is left raised");
        };
        for stranger in ["StrangeFuture", "ForgetsMessage", "ForgetsContext", "Raises", "Larger"] {
            refused(&name(&strangers, stranger), &task);
        }
        for stranger in ["StrangeTask", "ForgetsRequest", "ForgetsCount"] {
            refused(&future, &name(&strangers, stranger));
        }
        refused(&task, &future);
        refused(&value(py, c"object"), &value(py, c"object"));
        refused(&value(py, c"None"), &value(py, c"3"));
        let python = py.import("asyncio.futures").and_then(|futures| futures.getattr("_PyFuture"));
        refused(&python.expect("a class"), &task);
    });
}

#[test]
fn a_stranger_is_as_large_as_what_it_passes_for() {
    // Else the test above would only show that sizes are compared.
    with_python(|py| {
        let strangers = strangers(py);
        let size = |class: &Bound<'_, PyAny>| -> usize {
            class.getattr("__basicsize__").and_then(|size| size.extract()).expect("a size")
        };
        assert_eq!(size(&name(&strangers, "StrangeFuture")), size(&stock(py, "Future")));
        assert_eq!(size(&name(&strangers, "StrangeTask")), size(&stock(py, "Task")));
        assert_eq!(size(&name(&strangers, "ForgetsMessage")), size(&stock(py, "Future")));
    });
}

#[test]
fn handles_of_this_python_are_as_laid_out_and_others_are_not() {
    with_python(|py| {
        let [handle, timer] = [stock(py, "Handle"), stock(py, "TimerHandle")];
        assert!(handles_are_as_laid_out(&handle, &timer));
        assert!(!handles_are_as_laid_out(&timer, &handle));
        assert!(!handles_are_as_laid_out(&value(py, c"object"), &timer));
        let names = define(
            py,
            c"class Handle:
    __slots__ = ('_args', '_callback', '_context', '_cancelled', '_loop', '_repr',
                 '_source_traceback', '__weakref__')
class Property:
    __slots__ = ('_args', '_callback', '_context', '_loop', '_repr', '_source_traceback',
                 '_x', '__weakref__')
    _cancelled = property(lambda self: False)
",
        );
        for stranger in ["Handle", "Property"] {
            let handle = name(&names, stranger);
            if stranger == "Property" {
                assert!(!handles_are_as_laid_out(&handle, &timer), "no slot at all");
            }
            let timer = value(py, c"lambda base: type('Timer', (base,), {'__slots__': ('_x',)})");
            let timer = timer.call1((&handle,)).expect("a class");
            assert!(!handles_are_as_laid_out(&handle, &timer), "{stranger}");
        }
    });
}

#[test]
fn an_object_tells_the_name_of_its_class() {
    with_python(|py| {
        assert_eq!(class_name(&value(py, c"[]")), "list");
        assert_eq!(class_name(&value(py, c"type('Thing', (), {})()")), "Thing");
    });
}
