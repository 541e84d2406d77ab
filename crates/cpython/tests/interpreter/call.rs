//! Calls give what the callable returns, or what it raises, and cost no reference.

use batonloop_cpython::call::{Builtin, call_tuple, call0, call1, set_attribute, tuple_len};
use batonloop_cpython::thread;
use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError, PyValueError};
use pyo3::types::{PyAnyMethods, PyString};

use crate::bench::{assert_raised, count, define, name, thing, value, with_python};

#[test]
fn a_call_gives_what_is_returned() {
    with_python(|py| {
        let echo = value(py, c"lambda *args: args");
        let object = thing(py);
        let alone = count(&object);
        assert!(call0(&echo).expect("it returns").eq(value(py, c"()")).expect("tuples"));
        let returned = call1(&echo, &object).expect("it returns");
        assert!(returned.get_item(0).expect("one argument").is(&object));
        assert_eq!(tuple_len(&returned), Some(1));
        drop(returned);
        let arguments = value(py, c"(1, 2, 3)");
        assert!(call_tuple(&echo, &arguments).expect("it returns").eq(&arguments).expect("tuples"));
        assert_eq!(count(&object), alone);
    });
}

#[test]
fn a_call_gives_what_is_raised() {
    with_python(|py| {
        let names = define(py, c"def fail(*args): raise ValueError(len(args))");
        let fail = name(&names, "fail");
        assert_raised::<PyValueError, _>(py, call0(&fail), "0");
        assert_raised::<PyValueError, _>(py, call1(&fail, &thing(py)), "1");
        assert_raised::<PyValueError, _>(py, call_tuple(&fail, &value(py, c"(1, 2)")), "2");
        assert!(pyo3::PyErr::take(py).is_none(), "nothing is left raised");
    });
}

#[test]
fn what_cannot_be_called_or_is_no_tuple_of_arguments_is_a_type_error() {
    with_python(|py| {
        let three = value(py, c"3");
        assert_raised::<PyTypeError, _>(py, call0(&three), "'int' object is not callable");
        assert_raised::<PyTypeError, _>(py, call1(&three, &three), "'int' object is not callable");
        let echo = value(py, c"lambda *args: args");
        let refused = call_tuple(&echo, &value(py, c"[1, 2]"));
        assert_raised::<PyTypeError, _>(py, refused, "argument list must be a tuple");
    });
}

#[test]
fn only_a_tuple_has_a_length() {
    with_python(|py| {
        assert_eq!(tuple_len(&value(py, c"()")), Some(0));
        assert_eq!(tuple_len(&value(py, c"(1, 2)")), Some(2));
        assert_eq!(tuple_len(&value(py, c"[1, 2]")), None);
        assert_eq!(tuple_len(&py.None().into_bound(py)), None);
    });
}

#[test]
fn an_attribute_is_set_and_deleted_as_object_does_it() {
    with_python(|py| {
        let names = define(
            py,
            c"class Watched:
    def __setattr__(self, name, value): raise RuntimeError('asked')
    def __delattr__(self, name): raise RuntimeError('asked')
",
        );
        let object = name(&names, "Watched").call0().expect("an object");
        let word = PyString::new(py, "word").into_any();
        set_attribute(&object, &word, Some(&value(py, c"1"))).expect("the class is passed over");
        assert_eq!(object.getattr("word").expect("it is set").extract::<i32>().expect("1"), 1);
        set_attribute(&object, &word, None).expect("it was there");
        let again = set_attribute(&object, &word, None);
        let error = again.expect_err("it is gone");
        assert!(error.is_instance_of::<PyAttributeError>(py), "{error}");
    });
}

#[test]
fn a_builtin_is_called_directly_and_anything_else_by_its_name() {
    with_python(|py| {
        let full = value(py, c"{1: 2}");
        let pop = Builtin::new(&full.getattr("popitem").expect("a method"));
        assert!(pop.call(py).expect("an item").eq(value(py, c"(1, 2)")).expect("tuples"));
        let message = "'popitem(): dictionary is empty'";
        assert_raised::<PyKeyError, _>(py, pop.call(py).map_err(|error| *error), message);
        let plain = Builtin::new(&value(py, c"lambda: 5"));
        assert_eq!(plain.call(py).expect("it returns").extract::<i32>().expect("5"), 5);
        // A builtin of another convention, which is not to be called without arguments.
        let len = Builtin::new(&value(py, c"len")).call(py).map_err(|error| *error);
        assert_raised::<PyTypeError, _>(py, len, "len() takes exactly one argument (0 given)");
    });
}

#[test]
fn a_builtin_keeps_alive_what_it_is_a_method_of() {
    with_python(|py| {
        let object = value(py, c"{1: 2}");
        let pop = Builtin::new(&object.getattr("popitem").expect("a method"));
        drop(object);
        assert!(pop.call(py).is_ok());
    });
}

#[test]
fn a_thread_has_the_number_that_python_gives_it() {
    with_python(|py| {
        let number = py.import("threading").expect("threading").call_method0("get_ident");
        assert_eq!(thread::id(py), number.expect("a number").extract::<u64>().expect("a number"));
        assert_ne!(thread::id(py), 0);
    });
}
