//! State that only the holder of the interpreter touches: borrowed once at a time, visited when
//! nobody has it; classes that are recognised by a comparison.

use std::panic::{AssertUnwindSafe, catch_unwind};

use batonloop_cpython::cell::{GilCell, GilSlot, LoopCell, TypeCache};
use pyo3::types::{PyAnyMethods, PyList, PyListMethods};
use pyo3::{Bound, PyTraverseError, PyVisit, Python, pyclass, pymethods};

use crate::bench::{count, thing, value, with_python};

#[test]
fn a_nested_with_panics_and_changes_nothing() {
    with_python(|py| {
        let cell = LoopCell::new(vec![1]);
        let nested = catch_unwind(AssertUnwindSafe(|| {
            cell.with(py, |_outer| cell.with(py, |inner| inner.push(2)));
        }));
        assert!(nested.is_err());
        assert_eq!(cell.with(py, |list| list.clone()), [1], "and the cell is free again");
    });
}

#[test]
fn a_leaf_gives_back_what_it_displaced() {
    with_python(|py| {
        let cell = LoopCell::new(Some(1));
        assert_eq!(cell.with(py, |state| state.replace(2)), Some(1));
        assert_eq!(cell.with(py, |state| *state), Some(2));
    });
}

#[test]
fn a_visitor_is_let_in_only_while_nobody_borrows() {
    with_python(|py| {
        let cell = LoopCell::new(7);
        assert_eq!(cell.visit(|state| *state), Some(7));
        let during = cell.with(py, |_| cell.visit(|state| *state));
        assert_eq!(during, None);
        assert_eq!(cell.visit(|_| cell.visit(|state| *state)), Some(Some(7)), "visitors only look");
        assert_eq!(cell.visit(|state| *state), Some(7));
    });
}

#[test]
fn a_small_value_is_read_and_written_at_any_time() {
    with_python(|py| {
        static CELL: GilCell<u64> = GilCell::new(1);
        assert_eq!(CELL.get(py), 1);
        CELL.set(py, 2);
        py.detach(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| Python::attach(|py| CELL.set(py, CELL.get(py) + 1)));
            });
        });
        assert_eq!(CELL.get(py), 3);
    });
}

/// A class that keeps an object in a place of ours.
#[pyclass(frozen)]
struct Keeper(GilSlot);

#[pymethods]
impl Keeper {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(|slot| slot.visit(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.0.slot(py).clear(py);
    }
}

#[test]
fn a_place_shows_its_object_to_the_collector() {
    with_python(|py| {
        let keeper = Bound::new(py, Keeper(GilSlot::new())).expect("a keeper");
        let referents = |keeper: &Bound<'_, Keeper>| -> Vec<usize> {
            let gc = py.import("gc").expect("gc");
            let found = gc.call_method1("get_referents", (keeper,)).expect("a list");
            found.cast::<PyList>().expect("a list").iter().map(|one| one.as_ptr().addr()).collect()
        };
        let object = thing(py);
        assert!(!referents(&keeper).contains(&object.as_ptr().addr()));
        keeper.get().0.slot(py).set(object.clone());
        assert!(referents(&keeper).contains(&object.as_ptr().addr()));
        // A circle through the place, which only the collector can find.
        let weak = py.import("weakref").expect("weakref").call_method1("ref", (&object,));
        object.setattr("keeper", &keeper).expect("it takes attributes");
        drop((object, keeper));
        py.import("gc").expect("gc").call_method0("collect").expect("a collection");
        assert!(weak.expect("a reference").call0().expect("its object").is_none());
    });
}

#[test]
fn a_place_that_dies_lets_its_object_go() {
    with_python(|py| {
        let object = thing(py);
        let alone = count(&object);
        {
            let place = GilSlot::new();
            place.slot(py).set(object.clone());
        }
        assert_eq!(count(&object), alone);
        // So does the class that the place is part of, which nobody cleared.
        let keeper = Bound::new(py, Keeper(GilSlot::new())).expect("a keeper");
        keeper.get().0.slot(py).set(object.clone());
        drop(keeper);
        assert_eq!(count(&object), alone);
    });
}

#[test]
fn a_class_is_recognised_before_and_after_it_was_learnt() {
    with_python(|py| {
        let cache = TypeCache::new();
        let [list, other] = [value(py, c"[1]"), value(py, c"[2]")];
        for object in [&list, &other, &list] {
            let found = cache.cast::<PyList>(object).expect("a list");
            assert!(found.is(object));
        }
    });
}

#[test]
fn a_subclass_is_recognised_beside_the_class_that_was_learnt() {
    with_python(|py| {
        let list = value(py, c"[1]");
        let special = value(py, c"type('Special', (list,), {})()");
        let other = value(py, c"type('Other', (list,), {})()");
        // Whichever is learnt first, no other is lost.
        for objects in [[&list, &special, &other], [&special, &other, &list]] {
            let cache = TypeCache::default();
            for object in objects.into_iter().chain(objects) {
                assert!(cache.cast::<PyList>(object).is_some_and(|found| found.is(object)));
            }
        }
    });
}

#[test]
fn what_is_of_another_class_is_refused_and_not_learnt() {
    with_python(|py| {
        let cache = TypeCache::new();
        let [tuple, list] = [value(py, c"(1,)"), value(py, c"[1]")];
        assert!(cache.cast::<PyList>(&tuple).is_none());
        assert!(cache.cast::<PyList>(&list).is_some());
        assert!(cache.cast::<PyList>(&tuple).is_none());
    });
}
