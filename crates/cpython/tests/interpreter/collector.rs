//! The list of what the collector looks at, written without asking the interpreter: it finds there
//! what is alive, wherever that stands, and nothing else.

use batonloop_cpython::collector::prove_layout;
use batonloop_cpython::kind::{self, Fields, Future};
use pyo3::types::{PyAny, PyAnyMethods, PyList, PyListMethods};
use pyo3::{Bound, Python};

use crate::bench::{thing, with_python};
use crate::kinds;

fn gc<'py>(py: Python<'py>, function: &str) -> Bound<'py, PyAny> {
    py.import("gc").expect("gc").call_method0(function).expect(function)
}

/// How many of these the collector would visit.
fn visited(py: Python<'_>, places: &[usize]) -> usize {
    let all = gc(py, "get_objects").cast_into::<PyList>().expect("a list");
    all.iter().filter(|object| places.contains(&object.as_ptr().addr())).count()
}

fn futures<'py>(py: Python<'py>, number: usize) -> (Vec<Bound<'py, Future>>, Vec<usize>) {
    kinds::future(py);
    let made: Vec<_> = (0..number).map(|_| kind::allocate::<Future>(py).expect("memory")).collect();
    let places = made.iter().map(|future| future.as_ptr().addr()).collect();
    (made, places)
}

#[test]
fn it_is_found_where_it_should_be() {
    with_python(|py| assert!(prove_layout(py).expect("a proof")));
}

#[test]
fn it_holds_the_living_of_every_age_and_loses_the_dead() {
    with_python(|py| {
        assert!(prove_layout(py).expect("a proof"));
        // The second time their memory comes from the free list.
        for _ in 0..2 {
            let (mut living, places) = futures(py, 12);
            assert_eq!(visited(py, &places), 12);
            gc(py, "collect");
            let (younger, young) = futures(py, 12);
            assert_eq!((visited(py, &places), visited(py, &young)), (12, 12));
            // From the middle, from both ends, and all.
            drop(living.remove(6));
            assert_eq!(visited(py, &places), 11);
            drop((living.remove(0), living.pop()));
            assert_eq!((visited(py, &places), visited(py, &young)), (9, 12));
            drop(younger);
            assert_eq!((visited(py, &places), visited(py, &young)), (9, 0));
            drop(living);
            assert_eq!(visited(py, &places), 0);
            gc(py, "collect");
        }
    });
}

#[test]
fn circles_among_what_came_from_the_free_list_are_collected() {
    with_python(|py| {
        assert!(prove_layout(py).expect("a proof"));
        drop(futures(py, 8));
        let (circles, places) = futures(py, 8);
        for future in &circles {
            let object = thing(py);
            object.setattr("back", future).expect("it takes attributes");
            future.fields().callback0.set(object);
        }
        drop(circles);
        assert_eq!(visited(py, &places), 8);
        gc(py, "collect");
        assert_eq!(visited(py, &places), 0);
        // What the collector has finalized is known by its mark, and its memory given back.
        let (again, _) = futures(py, 8);
        for future in &again {
            assert!(future.fields().callback0.is_empty());
        }
    });
}
