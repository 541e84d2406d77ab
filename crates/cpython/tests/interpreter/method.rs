//! Rust functions as methods, properties and slots: called with what Python gives, raising what
//! Python expects, and a panic is an exception.

use batonloop_cpython::kind::{self, Fields, Sleep};
use batonloop_cpython::method::{Args, BoundFunction, Method, answered, function, missing};
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::panic::PanicException;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyModule};
use pyo3::{Bound, PyErr, PyResult, Python};

use crate::bench::{assert_raised, count, define, name, thing, with_python};
use crate::kinds;

/// A sleep that nobody has to finalize.
fn sleep(py: Python<'_>) -> Bound<'_, PyAny> {
    let made = kinds::sleep(py).call0().expect("an object");
    kind::cast::<Sleep>(&made).expect("of the kind").fields().set_stage(1);
    made
}

/// The value of an expression about `s`, a sleep.
fn about<'py>(py: Python<'py>, expression: &std::ffi::CStr) -> PyResult<Bound<'py, PyAny>> {
    let names = PyDict::new(py);
    names.as_any().set_item("s", sleep(py))?;
    py.eval(expression, Some(&names), None)
}

#[track_caller]
fn shown(py: Python<'_>, expression: &std::ffi::CStr) -> String {
    about(py, expression).expect("it returns").to_string()
}

#[test]
fn a_method_gets_its_object_and_its_arguments() {
    with_python(|py| {
        assert_eq!(shown(py, c"s.nothing() is s"), "True");
        assert_eq!(shown(py, c"s.echo([1, 2])"), "[1, 2]");
        assert_eq!(shown(py, c"s.count()"), "((), {})");
        assert_eq!(shown(py, c"s.count(1, 2)"), "((1, 2), {})");
        assert_eq!(shown(py, c"s.count(1, x=2, y=3)"), "((1,), {'x': 2, 'y': 3})");
        assert_eq!(shown(py, c"s.count(*[1], **{})"), "((1,), {})");
    });
}

#[test]
fn a_call_keeps_no_argument() {
    with_python(|py| {
        let [sleep, object] = [sleep(py), thing(py)];
        let alone = [count(&sleep), count(&object)];
        let keywords = PyDict::new(py);
        keywords.as_any().set_item("x", &object).expect("a name");
        for method in ["count", "parse"] {
            let _ = sleep.call_method(method, (&object,), Some(&keywords));
        }
        sleep.call_method1("echo", (&object,)).expect("it returns");
        drop(keywords);
        assert_eq!([count(&sleep), count(&object)], alone);
    });
}

#[test]
fn arguments_are_found_by_place_and_by_name() {
    with_python(|py| {
        assert_eq!(shown(py, c"s.parse()"), "(None, None, None)");
        assert_eq!(shown(py, c"s.parse(1)"), "(1, None, None)");
        assert_eq!(shown(py, c"s.parse(1, 2, c=3)"), "(1, 2, 3)");
        assert_eq!(shown(py, c"s.parse(c=3, b=2)"), "(None, 2, 3)");
    });
}

/// What a C function of the running Python says.
#[cfg(Py_3_13)]
const UNKNOWN_KEYWORD: &str = "parse() got an unexpected keyword argument 'd'";
/// What a C function of the running Python says.
#[cfg(not(Py_3_13))]
const UNKNOWN_KEYWORD: &str = "'d' is an invalid keyword argument for parse()";

#[test]
fn wrong_arguments_are_refused_in_words() {
    with_python(|py| {
        let refused = |expression, message: &str| {
            assert_raised::<PyTypeError, _>(py, about(py, expression), message);
        };
        refused(c"s.parse(1, 2, 3)", "parse() takes at most 2 positional arguments (3 given)");
        refused(c"s.parse(d=1)", UNKNOWN_KEYWORD);
        refused(c"s.parse(1, a=2)", "argument for parse() given by name ('a') and position (1)");
        assert!(about(py, c"s.nothing(1)").is_err());
        assert!(about(py, c"s.echo()").is_err());
        assert!(about(py, c"s.echo(x=1)").is_err());
        let nothing = Err::<(), _>(missing("call_soon", "callback", 1));
        let message = "call_soon() missing required argument 'callback' (pos 1)";
        assert_raised::<PyTypeError, _>(py, nothing, message);
    });
}

#[test]
fn a_method_refuses_an_object_of_another_type() {
    with_python(|py| {
        for expression in
            [c"type(s).nothing(3)", c"type(s).result.__get__(3)", c"type(s).result.__set__(3, 4)"]
        {
            let error = about(py, expression).expect_err("3 is no sleep");
            assert!(error.is_instance_of::<PyTypeError>(py), "{error}");
        }
    });
}

#[test]
fn an_error_is_raised_and_a_panic_too() {
    with_python(|py| {
        assert_raised::<PyValueError, _>(py, about(py, c"s.fail()"), "no");
        // What PyO3 does with a panic that comes back to Rust is to let it go on.
        let sleep = sleep(py);
        let names = PyDict::new(py);
        names.as_any().set_item("s", &sleep).expect("a name");
        let code = c"try: s.panic()
except BaseException as error: caught = error
";
        py.run(code, Some(&names), None).expect("it is caught");
        let caught = names.as_any().get_item("caught").expect("it was raised");
        assert!(caught.get_type().is(py.get_type::<PanicException>()));
        assert_eq!(caught.to_string(), "a panic in a method");
        assert!(sleep.call_method0("nothing").is_ok(), "the object is as good as before");
    });
}

#[test]
fn a_property_is_read_written_and_deleted() {
    with_python(|py| {
        let sleep = sleep(py);
        let object = thing(py);
        let alone = count(&object);
        sleep.setattr("result", &object).expect("it can be written");
        assert!(sleep.getattr("result").expect("it can be read").is(&object));
        assert_eq!(count(&object), alone + 1);
        sleep.delattr("result").expect("the setter decides");
        assert!(sleep.getattr("result").expect("it can be read").is_none());
        assert_eq!(count(&object), alone);
        assert!(sleep.getattr("fixed").expect("it can be read").is(&sleep));
        let refused = sleep.setattr("fixed", 1).expect_err("it is read only");
        assert!(refused.is_instance_of::<PyAttributeError>(py), "{refused}");
    });
}

#[test]
fn a_slot_does_what_its_name_says() {
    with_python(|py| {
        assert_eq!(shown(py, c"type(s)(7).result"), "7");
        assert_eq!(shown(py, c"type(s)(result=8).result"), "8");
        assert_eq!(shown(py, c"repr(s)"), "<a sleep>");
        assert_eq!(shown(py, c"hash(s)"), "41");
        assert_eq!(shown(py, c"s < 3"), "less");
        assert_eq!(shown(py, c"s == 3"), "False");
        assert_eq!(shown(py, c"iter(s) is s"), "True");
        assert_eq!(shown(py, c"type(s)[int]"), "tests.Sleep[int]");
        assert_eq!(shown(py, c"[type(s)(7).__iter__().__class__ is type(s)]"), "[True]");
    });
}

#[test]
fn what_is_awaited_gives_its_values_to_the_coroutine() {
    with_python(|py| {
        let names = PyDict::new(py);
        names.as_any().set_item("Sleep", kinds::sleep(py)).expect("a name");
        // Tuples and exceptions are values that a StopIteration could take for its arguments.
        let code = c"async def awaits(value):
    return [await Sleep(value)]
def drive(value):
    coroutine = awaits(value)
    yielded = coroutine.send(None)
    try: coroutine.send(None)
    except StopIteration as stop: return yielded is value and stop.value[0] is value
story = [drive(value) for value in (None, 7, (1, 2), (), StopIteration(3), ValueError(4))]
";
        py.run(code, Some(&names), None).expect("it runs");
        let story = names.as_any().get_item("story").expect("a list");
        assert_eq!(story.to_string(), "[True, True, True, True, True, True]");
        assert_eq!(shown(py, c"next(s, 'ended')"), "ended");
    });
}

#[test]
fn a_function_and_a_bound_function_are_called_like_any() {
    fn count_all<'py>(
        this: &Bound<'py, PyAny>,
        args: Args<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let count = args.positional().len() + args.keywords().count();
        Ok(pyo3::types::PyInt::new(this.py(), count).into_any())
    }
    with_python(|py| {
        let home = PyModule::new(py, "tests").expect("a module");
        let made =
            function(&home, "tests", c"count_all", c"Count.", count_all).expect("a function");
        assert_eq!(made.call1((1, 2)).expect("it returns").to_string(), "2");
        assert_eq!(made.getattr("__module__").expect("a name").to_string(), "tests");
        assert_eq!(made.getattr("__name__").expect("a name").to_string(), "count_all");

        let itself =
            Method::<Sleep>::no_args(c"itself", c"Give itself.", |this| Ok(this.as_any().clone()));
        let itself: &'static BoundFunction<Sleep> = Box::leak(Box::new(BoundFunction::new(itself)));
        let object = sleep(py);
        let alone = count(&object);
        let bound = itself.bind(kind::cast::<Sleep>(&object).expect("of the kind"));
        let bound = bound.expect("a callable");
        assert_eq!(count(&object), alone + 1);
        assert!(bound.call0().expect("it returns").is(&object));
        assert!(bound.getattr("__self__").expect("an attribute").is(&object));
        drop(bound);
        assert_eq!(count(&object), alone);
    });
}

#[test]
fn a_call_is_passed_on_as_it_was() {
    fn pass_on<'py>(this: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        args.pass_on(&this.getattr("there")?)
    }
    with_python(|py| {
        let home = PyModule::new(py, "tests").expect("a module");
        let there = py.eval(c"lambda *args, **kwargs: (args, kwargs)", None, None);
        home.as_any().setattr("there", there.expect("a function")).expect("a name");
        let names = PyDict::new(py);
        let here = function(&home, "tests", c"pass_on", c"Pass on.", pass_on).expect("a function");
        names.as_any().set_item("here", here).expect("a name");
        let shown = |expression| py.eval(expression, Some(&names), None).map(|it| it.to_string());
        assert_eq!(shown(c"here()").expect("it returns"), "((), {})");
        assert_eq!(shown(c"here(1, 2)").expect("it returns"), "((1, 2), {})");
        assert_eq!(shown(c"here(1, y=3, x=2)").expect("it returns"), "((1,), {'y': 3, 'x': 2})");
        let refusing = py.eval(c"lambda: None", None, None).expect("a function");
        home.as_any().setattr("there", refusing).expect("a name");
        assert!(shown(c"here(1)").expect_err("refused").is_instance_of::<PyTypeError>(py));
    });
}

#[test]
fn a_finalizer_leaves_alone_what_is_being_raised() {
    with_python(|py| {
        let dies = kinds::sleep(py).call0().expect("an object");
        PyValueError::new_err("mine").restore(py);
        drop(dies);
        let raised = Err::<(), _>(PyErr::take(py).expect("it is still raised"));
        assert_raised::<PyValueError, _>(py, raised, "mine");
    });
}

/// Answers a call with one argument and no keywords: with that, with an exception or with a panic.
fn answer<'py>(_: Python<'py>, args: Args<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let ([argument], false) = (args.positional(), args.has_keywords()) else {
        return Ok(None);
    };
    assert!(!argument.is_none(), "a panic in a function");
    if argument.eq("fail")? {
        return Err(PyValueError::new_err("no"));
    }
    Ok(Some(argument.clone()))
}

const ANSWERED: &std::ffi::CStr = c"
def function(a, b=2, *, c=3): return ('code', a, b, c)
def call(function): return [function(5) for _ in range(300)]
def pass_on(function): return [function(5, 6) for _ in range(300)]
call(function), pass_on(function)
class Holder(int): pass
";

#[test]
fn a_function_answers_what_it_can_and_runs_its_code_for_the_rest() {
    with_python(|py| {
        let names = define(py, ANSWERED);
        let original = name(&names, "function");
        let made =
            answered(&original, &names, "here", "What it does.", answer).expect("a function");
        let run = |code: &std::ffi::CStr| {
            names.as_any().set_item("made", &made).expect("a name");
            names.as_any().set_item("f", &original).expect("a name");
            py.eval(code, Some(&names), None).expect("it is right").to_string()
        };
        assert_eq!(
            run(c"made(5), made(5, 6), made(5, c=7)"),
            "(5, ('code', 5, 6, 3), ('code', 5, 2, 7))"
        );
        assert_eq!(
            run(c"made(*[5]), made(a=5), f(5)"),
            "(5, ('code', 5, 2, 3), ('code', 5, 2, 3))"
        );
        // The places that have learnt to call the original, and those that have not.
        assert_eq!(run(c"set(call(made)), set(pass_on(made))"), "({5}, {('code', 5, 6, 3)})");
        assert_eq!(run(c"set(call(f)), set(call(made))"), "({('code', 5, 2, 3)}, {5})");
        assert_eq!(run(c"setattr(Holder, 'made', made), Holder(4).made()"), "(None, 4)");
        assert_eq!(run(c"made.__code__ is f.__code__, made.__kwdefaults__"), "(True, {'c': 3})");
        assert_eq!(run(c"made.__module__, made.__doc__"), "('here', 'What it does.')");
        assert_eq!(run(c"isinstance(made, type(f)), type(made).__name__"), "(True, 'function')");
        assert_eq!(
            run(c"made.__reduce__() if type(made) is not type(f) else 'function'"),
            "function"
        );
        let refused = made.call0().expect_err("its code wants an argument");
        let message = "function() missing 1 required positional argument: 'a'";
        assert_raised::<PyTypeError, _>(py, Err::<(), _>(refused), message);
    });
}

#[test]
fn a_function_raises_what_its_answer_raises_and_keeps_no_argument() {
    with_python(|py| {
        let names = define(py, ANSWERED);
        let made =
            answered(&name(&names, "function"), &names, "here", "", answer).expect("a function");
        let object = thing(py);
        let alone = [count(&made), count(&object)];
        assert!(made.call1((&object,)).expect("it answers").is(&object));
        drop(made.call1((&object, &object)).expect("its code answers"));
        assert_eq!([count(&made), count(&object)], alone);
        assert_raised::<PyValueError, _>(py, made.call1(("fail",)), "no");
        names.as_any().set_item("made", &made).expect("a name");
        let code = c"try: made(None)
except BaseException as error: caught = error
";
        py.run(code, Some(&names), None).expect("it is caught");
        let caught = names.as_any().get_item("caught").expect("it was raised");
        assert!(caught.get_type().is(py.get_type::<PanicException>()));
        assert_eq!(caught.to_string(), "a panic in a function");
    });
}

#[test]
fn what_is_no_function_of_its_home_is_given_back() {
    with_python(|py| {
        let names = define(py, ANSWERED);
        let other = define(py, c"");
        let builtin = py.eval(c"len", None, None).expect("a builtin");
        assert!(answered(&builtin, &names, "here", "", answer).expect("itself").is(&builtin));
        let object = thing(py);
        assert!(answered(&object, &names, "here", "", answer).expect("itself").is(&object));
        let elsewhere = name(&names, "function");
        assert!(answered(&elsewhere, &other, "here", "", answer).expect("itself").is(&elsewhere));
    });
}
