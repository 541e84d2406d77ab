//! Types as Python sees them.

use batonloop_cpython::builder::{add_method, bases};
use batonloop_cpython::method::Method;
use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PyTuple, PyTypeMethods};
use pyo3::{Bound, pyclass};

use crate::bench::{thing, value, with_python};
use crate::kinds;

#[test]
fn a_type_has_its_name_its_words_and_its_bases() {
    with_python(|py| {
        let [handle, future, task] = [kinds::handle(py), kinds::future(py), kinds::task(py)];
        let told =
            |class: &Bound<'_, PyAny>, name| class.getattr(name).expect("it has").to_string();
        assert_eq!(told(&handle, "__module__"), "tests");
        assert_eq!(told(&handle, "__qualname__"), "Handle");
        assert_eq!(told(&handle, "__doc__"), "A handle.");
        assert!(task.is_subclass(&future).expect("classes"));
        let stock = py.import("asyncio").and_then(|asyncio| asyncio.getattr("Handle"));
        assert!(handle.is_subclass(&stock.expect("a class")).expect("classes"));
    });
}

#[test]
fn an_immutable_type_keeps_its_attributes_and_any_other_takes_new_ones() {
    with_python(|py| {
        let refused = kinds::future(py).as_any().setattr("word", 1).expect_err("it is immutable");
        assert!(refused.is_instance_of::<PyTypeError>(py), "{refused}");
        let handle = kinds::handle(py);
        handle.as_any().setattr("word", 1).expect("it takes attributes");
        handle.as_any().delattr("word").expect("it was there");
    });
}

#[test]
fn a_type_whose_objects_are_their_own_iterators_shows_no_next() {
    with_python(|py| {
        let sleep = kinds::sleep(py);
        let iterators = py.import("collections.abc").expect("abc").getattr("Iterator");
        assert!(!sleep.is_subclass(&iterators.expect("a class")).expect("classes"));
        assert!(sleep.getattr("__next__").is_err());
        let made = sleep.call1((7,)).expect("an object");
        let next = value(py, c"next").call1((made,)).expect("the slot is there");
        assert_eq!(next.to_string(), "7");
    });
}

#[test]
fn a_dict_and_weak_references_are_there_where_they_were_asked_for() {
    with_python(|py| {
        let weakref = py.import("weakref").expect("weakref");
        let future = kinds::future(py).call0().expect("an object");
        future.setattr("word", 1).expect("it has a dict");
        assert_eq!(future.getattr("word").expect("it is set").to_string(), "1");
        let weak = weakref.call_method1("ref", (&future,)).expect("it can be referred to");
        assert!(weak.call0().expect("it lives").is(&future));
        let sleep = kinds::sleep(py).call0().expect("an object");
        assert!(sleep.setattr("word", 1).is_err());
        assert!(weakref.call_method1("ref", (&sleep,)).is_err());
    });
}

#[pyclass(frozen)]
struct Plain;

#[test]
fn a_method_can_be_put_on_a_class_that_is_there_already() {
    with_python(|py| {
        let class = py.get_type::<Plain>();
        let method = Method::<Plain>::one_arg(c"pair", c"Give both.", |this, argument| {
            Ok(PyTuple::new(this.py(), [this.as_any(), argument])?.into_any())
        });
        add_method(&class, method).expect("the class takes it");
        let plain = Bound::new(py, Plain).expect("an object");
        let object = thing(py);
        let pair = plain.call_method1("pair", (&object,)).expect("it returns");
        assert!(pair.get_item(0).expect("two").is(&plain));
        assert!(pair.get_item(1).expect("two").is(&object));
        let refused = class.call_method1("pair", (&object, &object)).expect_err("another type");
        assert!(refused.is_instance_of::<PyTypeError>(py), "{refused}");
    });
}

#[test]
fn bases_stand_in_the_order_given() {
    with_python(|py| {
        let [one, other] = [thing(py), thing(py)];
        let made = bases(py, &[&one, &other]).expect("a tuple");
        assert!(made.as_any().get_item(0).expect("two").is(&one));
        assert!(made.as_any().get_item(1).expect("two").is(&other));
    });
}
