//! The life of an object of ours: born empty, seen by the collector, finalized once, buried, and
//! its memory used again only by its own type.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

#[cfg(not(Py_3_14))]
use batonloop_cpython::kind::known;
use batonloop_cpython::kind::{self, Fields, Future, Handle, Kind, Sleep, Task, TimerHandle};
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{PyAny, PyAnyMethods, PyList, PyListMethods, PyTuple, PyType};
use pyo3::{Bound, PyTypeInfo, Python};

use crate::bench::{assert_raised, count, dying, thing, value, with_python};
use crate::kinds::{self, SLEEPS_FINALIZED};

/// How many objects are more than any free list keeps.
const MANY: usize = 3000;

fn allocate<'py, K: Kind + PyTypeInfo>(class: &Bound<'py, PyType>) -> Bound<'py, K> {
    let object = kind::allocate::<K>(class.py()).expect("memory");
    assert!(object.as_any().get_type().is(class));
    object
}

fn address(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr().addr()
}

fn collect(py: Python<'_>) {
    py.import("gc").expect("gc").call_method0("collect").expect("a collection");
}

fn referents<'py>(object: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyAny>> {
    let gc = object.py().import("gc").expect("gc");
    let found = gc.call_method1("get_referents", (object,)).expect("a list");
    found.cast::<PyList>().expect("a list").iter().collect()
}

fn weak<'py>(object: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let weakref = object.py().import("weakref").expect("weakref");
    weakref.call_method1("ref", (object,)).expect("a weak reference")
}

fn subclass<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyType> {
    let py = class.py();
    let bases = PyTuple::new(py, [class]).expect("a tuple");
    let made = py.get_type::<PyType>().call1(("Sub", bases, pyo3::types::PyDict::new(py)));
    made.expect("a class").cast_into().expect("a class")
}

#[test]
fn an_object_is_born_empty_and_known_for_what_it_is() {
    with_python(|py| {
        let class = kinds::handle(py);
        let handle = allocate::<Handle>(&class);
        let fields = handle.fields();
        for slot in [
            &fields.arguments,
            &fields.callback,
            &fields.cancelled,
            &fields.context,
            &fields.event_loop,
            &fields.repr,
            &fields.source_traceback,
        ] {
            assert!(slot.is_empty());
        }
        assert!(kind::is_exact::<Handle>(&handle));
        assert!(kind::cast::<Handle>(&handle).is_some_and(|cast| cast.is(&handle)));
        assert!(kind::cast_exact::<Handle>(&handle).is_some_and(|cast| cast.is(&handle)));
        assert!(kind::type_object::<Handle>(py).is_ok_and(|made| made.is(&class)));
        assert!(handle.as_any().cast::<Handle>().is_ok());
    });
}

#[test]
fn an_object_of_a_subclass_is_of_the_kind_but_not_exactly() {
    with_python(|py| {
        let class = kinds::sleep(py);
        let object = subclass(&class).call0().expect("an object");
        assert!(kind::cast::<Sleep>(&object).is_some());
        assert!(!kind::is_exact::<Sleep>(&object));
        assert!(kind::cast_exact::<Sleep>(&object).is_none());
        for other in
            [thing(py), class.into_any(), allocate::<Handle>(&kinds::handle(py)).into_any()]
        {
            assert!(kind::cast::<Sleep>(&other).is_none());
            assert!(kind::cast_exact::<Sleep>(&other).is_none());
        }
    });
}

#[test]
fn a_kind_without_a_type_knows_nobody() {
    // No test of this program makes a type of timers.
    with_python(|py| {
        let handle = allocate::<Handle>(&kinds::handle(py));
        assert!(kind::cast::<TimerHandle>(&handle).is_none());
        assert!(kind::cast_exact::<TimerHandle>(&handle).is_none());
        let missing = kind::type_object::<TimerHandle>(py);
        assert_raised::<PyRuntimeError, _>(py, missing, "the type is not made yet");
    });
}

#[test]
fn a_task_is_a_future_too() {
    with_python(|py| {
        let task = allocate::<Task>(&kinds::task(py));
        assert!(kind::cast::<Future>(&task).is_some());
        assert!(kind::cast_exact::<Future>(&task).is_none());
        let object = thing(py);
        kind::task_as_future(&task).fields().result.set(object.clone());
        assert!(task.fields().future().result.holds(&object));
        task.fields().future().set_state(2);
    });
}

#[test]
fn the_collector_sees_every_slot_and_the_type() {
    with_python(|py| {
        let class = kinds::handle(py);
        let handle = allocate::<Handle>(&class);
        let things: Vec<_> = (0..7).map(|_| thing(py)).collect();
        let fields = handle.fields();
        let slots = [
            &fields.arguments,
            &fields.callback,
            &fields.cancelled,
            &fields.context,
            &fields.event_loop,
            &fields.repr,
            &fields.source_traceback,
        ];
        for (slot, thing) in slots.into_iter().zip(&things) {
            slot.fill(thing.clone());
        }
        let seen = referents(&handle);
        for expected in things.iter().chain([class.as_any()]) {
            assert_eq!(seen.iter().filter(|one| one.is(expected)).count(), 1);
        }
        let tracked = py.import("gc").and_then(|gc| gc.call_method1("is_tracked", (&handle,)));
        assert!(tracked.expect("gc").is_truthy().expect("a bool"));
        let counts: Vec<_> = things.iter().map(count).collect();
        drop((seen, handle));
        for (thing, before) in things.iter().zip(counts) {
            assert_eq!(count(thing), before - 2, "the struct's reference and the list's");
        }
    });
}

#[test]
fn a_circle_through_a_slot_or_the_dict_is_collected() {
    with_python(|py| {
        for through_dict in [false, true] {
            let future = allocate::<Future>(&kinds::future(py));
            let object = thing(py);
            object.setattr("back", &future).expect("it takes attributes");
            if through_dict {
                future.as_any().setattr("there", &object).expect("it takes attributes");
            } else {
                future.fields().callback0.set(object.clone());
            }
            let dead = [weak(&object), weak(&future)];
            drop((object, future));
            collect(py);
            for weak in dead {
                assert!(weak.call0().expect("its object").is_none(), "dict: {through_dict}");
            }
        }
    });
}

#[test]
fn the_memory_of_the_dead_is_used_again_and_comes_back_empty() {
    with_python(|py| {
        let class = kinds::future(py);
        collect(py);
        let future = allocate::<Future>(&class);
        let object = thing(py);
        let alone = count(&object);
        future.fields().result.set(object.clone());
        future.fields().set_state(2);
        future.fields().set_blocking(true);
        future.as_any().setattr("word", &object).expect("it takes attributes");
        let gone = weak(&future);
        let (place, types) = (address(&future), count(&class));
        drop(future);
        assert!(gone.call0().expect("its object").is_none());
        assert_eq!(count(&object), alone);
        let again = allocate::<Future>(&class);
        assert_eq!(address(&again), place);
        assert_eq!(count(&class), types, "each object owns one reference to its type");
        let fields = again.fields();
        assert!(fields.result.is_empty() && fields.state() == 0 && !fields.blocking());
        assert!(again.as_any().getattr("word").is_err(), "an attribute of the dead");
        assert!(gone.call0().expect("its object").is_none(), "a reference to the dead");
    });
}

#[test]
fn a_class_that_is_called_takes_from_the_same_memory() {
    with_python(|py| {
        let class = kinds::handle(py);
        let place = address(&allocate::<Handle>(&class));
        let called = class.call0().expect("an object");
        assert_eq!(address(&called), place);
        assert!(kind::is_exact::<Handle>(&called));
    });
}

#[test]
fn an_object_of_a_subclass_neither_takes_from_that_memory_nor_goes_there() {
    with_python(|py| {
        let class = kinds::handle(py);
        let sub = subclass(&class);
        let types = count(&sub);
        let place = address(&allocate::<Handle>(&class));
        let object = sub.call0().expect("an object");
        assert_ne!(address(&object), place);
        object.setattr("word", 1).expect("it has a dict");
        drop(object);
        assert_eq!(count(&sub), types, "it has let its class go");
        // The last that went there comes out first: still the one from before.
        assert_eq!(address(&allocate::<Handle>(&class)), place);
    });
}

#[test]
fn more_may_die_than_are_kept() {
    with_python(|py| {
        let class = kinds::handle(py);
        // Subclasses that other tests made know the class; they are gone after this.
        collect(py);
        let types = count(&class);
        for _ in 0..2 {
            let object = thing(py);
            let alone = count(&object);
            let many: Vec<_> = (0..MANY).map(|_| allocate::<Handle>(&class)).collect();
            for handle in &many {
                assert!(handle.fields().callback.is_empty());
                handle.fields().callback.fill(object.clone());
            }
            let mut places: Vec<_> = many.iter().map(|handle| address(handle)).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), MANY, "no two live in one place");
            assert_eq!(count(&object), alone + MANY);
            drop(many);
            assert_eq!(count(&object), alone);
        }
        assert_eq!(count(&class), types);
    });
}

#[test]
fn what_a_dying_object_drops_may_make_another() {
    with_python(|py| {
        let class = kinds::handle(py);
        let made = Arc::new(Mutex::new(Vec::new()));
        let handle = allocate::<Handle>(&class);
        let place = address(&handle);
        let last = dying(py, {
            let made = Arc::clone(&made);
            move |py| {
                let other = kind::allocate::<Handle>(py).expect("memory");
                made.lock().unwrap().push(other.into_any().unbind());
            }
        });
        handle.fields().callback.fill(last);
        drop(handle);
        let made = made.lock().unwrap().pop().expect("the destructor ran").into_bound(py);
        assert_ne!(address(&made), place, "the dying one is not free yet");
        assert_eq!(address(&allocate::<Handle>(&class)), place, "now it is");
    });
}

#[test]
fn a_finalizer_runs_if_there_is_something_to_do() {
    with_python(|py| {
        let class = kinds::sleep(py);
        let ran = |object: Bound<'_, Sleep>| {
            let before = SLEEPS_FINALIZED.load(Ordering::Relaxed);
            drop(object);
            SLEEPS_FINALIZED.load(Ordering::Relaxed) - before
        };
        assert_eq!(ran(allocate(&class)), 1);
        let driven = allocate::<Sleep>(&class);
        driven.fields().set_stage(1);
        assert_eq!(ran(driven), 0);
        // A subclass may have a finalizer of its own, so it is always asked.
        let object = subclass(&class).call0().expect("an object").cast_into::<Sleep>();
        let object = object.expect("of the kind");
        object.fields().set_stage(1);
        assert_eq!(ran(object), 1);
    });
}

#[test]
fn what_a_finalizer_revives_lives_on_and_is_not_finalized_again() {
    with_python(|py| {
        let future = allocate::<Future>(&kinds::future(py));
        let list = PyList::empty(py);
        future.fields().result.set(list.clone().into_any());
        future.fields().set_log_traceback(true);
        let place = address(&future);
        drop(future);
        assert_eq!(list.len(), 1, "the finalizer put it there");
        let revived = list.get_item(0).expect("it is there");
        assert_eq!(address(&revived), place);
        let revived = revived.cast_into::<Future>().expect("of the kind");
        assert!(revived.fields().result.holds(&list), "it is whole");
        let gone = weak(&revived);
        list.call_method0("clear").expect("a list");
        drop(revived);
        assert_eq!(list.len(), 0, "once is enough");
        assert!(gone.call0().expect("its object").is_none());
    });
}

#[test]
fn a_weak_reference_is_told_before_the_struct_is_emptied() {
    with_python(|py| {
        let future = allocate::<Future>(&kinds::future(py));
        let story = value(py, c"[]");
        let tell = |word: &'static str| {
            let story = story.clone().unbind();
            move |py: Python<'_>| {
                let _ = story.bind(py).call_method1("append", (word,));
            }
        };
        future.fields().result.fill(dying(py, tell("emptied")));
        let tell = tell("told");
        let told = pyo3::types::PyCFunction::new_closure(py, None, None, move |args, _| {
            tell(args.py());
        });
        let weakref = py.import("weakref").expect("weakref");
        let _kept = weakref.call_method1("ref", (&future, told.expect("a function")));
        drop(future);
        assert_eq!(story.to_string(), "['told', 'emptied']");
    });
}

#[test]
#[cfg(not(Py_3_14))]
fn the_list_of_tasks_owns_none_and_loses_the_dead() {
    with_python(|py| {
        let class = kinds::task(py);
        let tasks: Vec<_> = (0..4).map(|_| allocate::<Task>(&class)).collect();
        let alone = count(&tasks[0]);
        for task in &tasks {
            // One that is pending would be reported.
            task.fields().future().set_state(2);
            known::link(task);
            known::link(task);
        }
        let listed = |expected: &[usize]| {
            let found: Vec<_> = known::all(py).iter().map(address).collect();
            let expected: Vec<_> = expected.iter().rev().map(|&at| address(&tasks[at])).collect();
            assert_eq!(found, expected, "the youngest first, each once");
        };
        assert_eq!(count(&tasks[0]), alone);
        listed(&[0, 1, 2, 3]);
        known::forget(&tasks[1]);
        known::forget(&tasks[1]);
        listed(&[0, 2, 3]);
        let mut tasks = tasks;
        drop(tasks.pop());
        drop(tasks.remove(0));
        let found: Vec<_> = known::all(py).iter().map(address).collect();
        assert_eq!(found, [address(&tasks[1])]);
        known::link(&tasks[0]);
        drop(tasks);
        assert!(known::all(py).is_empty());
    });
}

#[test]
#[cfg(not(Py_3_14))]
fn a_task_that_the_collector_takes_leaves_the_list() {
    with_python(|py| {
        let task = allocate::<Task>(&kinds::task(py));
        task.fields().future().set_state(2);
        task.fields().coro.set(task.as_any().clone());
        known::link(&task);
        let gone = weak(&task);
        drop(task);
        assert_eq!(known::all(py).len(), 1, "it is a circle, so it lives");
        collect(py);
        assert!(known::all(py).is_empty());
        assert!(gone.call0().expect("its object").is_none());
    });
}

/// Counts the tasks in the list when it dies; the collector does not know it.
#[cfg(not(Py_3_14))]
#[pyo3::pyclass(frozen)]
struct CountsTasks(Arc<Mutex<Option<usize>>>);

#[cfg(not(Py_3_14))]
impl Drop for CountsTasks {
    fn drop(&mut self) {
        let count = Python::attach(|py| known::all(py).len());
        *self.0.lock().unwrap() = Some(count);
    }
}

#[test]
#[cfg(not(Py_3_14))]
fn a_task_leaves_the_list_before_the_collector_empties_it() {
    with_python(|py| {
        let count = Arc::new(Mutex::new(None));
        let task = allocate::<Task>(&kinds::task(py));
        let fields = task.fields();
        fields.future().set_state(2);
        let counts = Bound::new(py, CountsTasks(Arc::clone(&count))).expect("an object");
        fields.future().exception.set(counts.into_any());
        fields.coro.set(task.as_any().clone());
        known::link(&task);
        drop(task);
        collect(py);
        assert_eq!(*count.lock().unwrap(), Some(0), "nobody finds a task that is half empty");
    });
}
