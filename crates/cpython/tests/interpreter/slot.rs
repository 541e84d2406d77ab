//! A slot owns one reference, gives it up to whoever takes it, and may be reached again by what a
//! drop runs.

use std::sync::{Arc, Mutex};

use batonloop_cpython::cell::GilSlot;
use pyo3::Py;
use pyo3::types::PyAnyMethods;

use crate::bench::{count, dying, thing, with_python};

#[test]
fn a_slot_owns_one_reference() {
    with_python(|py| {
        let place = GilSlot::new();
        let slot = place.slot(py);
        let object = thing(py);
        let alone = count(&object);
        slot.fill(object.clone());
        assert_eq!(count(&object), alone + 1);
        assert!(slot.holds(&object) && !slot.is_empty());
        let again = slot.get(py).expect("it is full");
        assert!(again.is(&object));
        assert_eq!(count(&object), alone + 2, "who looks gets a reference of his own");
        drop(again);
        let taken = slot.take(py).expect("it is full");
        assert!(taken.is(&object) && slot.is_empty());
        assert_eq!(count(&object), alone + 1, "the slot's reference went to who took it");
        drop(taken);
        slot.set(object.clone());
        slot.clear(py);
        assert!(slot.is_empty());
        assert_eq!(count(&object), alone);
    });
}

#[test]
fn an_empty_slot_gives_nothing() {
    with_python(|py| {
        let place = GilSlot::default();
        let slot = place.slot(py);
        assert!(slot.is_empty());
        assert!(slot.get(py).is_none());
        assert!(slot.take(py).is_none());
        assert!(!slot.holds(&thing(py)));
        slot.clear(py);
        assert!(slot.is_empty());
    });
}

#[test]
fn what_is_replaced_goes_to_the_caller() {
    with_python(|py| {
        let place = GilSlot::new();
        let slot = place.slot(py);
        let [old, new] = [thing(py), thing(py)];
        let alone = count(&old);
        assert!(slot.replace(old.clone()).is_none());
        let displaced = slot.replace(new.clone()).expect("it was full");
        assert!(displaced.is(&old) && slot.holds(&new));
        assert_eq!([count(&old), count(&new)], [alone + 1; 2]);
        drop(displaced);
        assert_eq!([count(&old), count(&new)], [alone, alone + 1]);
        slot.clear(py);
        assert_eq!(count(&new), alone);
    });
}

#[test]
fn two_slots_are_the_same_if_they_hold_the_same() {
    with_python(|py| {
        let places = [GilSlot::new(), GilSlot::new()];
        let [one, other] = [places[0].slot(py), places[1].slot(py)];
        assert!(one.same(other), "both are empty");
        let object = thing(py);
        one.set(object.clone());
        assert!(!one.same(other));
        other.set(object);
        assert!(one.same(other));
        one.clear(py);
        other.clear(py);
    });
}

#[test]
fn a_destructor_finds_the_slot_empty_and_may_fill_it() {
    with_python(|py| {
        let place = Arc::new(GilSlot::new());
        let late = thing(py);
        let alone = count(&late);
        let was_empty = Arc::new(Mutex::new(None));
        let dead = dying(py, {
            let (place, was_empty) = (Arc::clone(&place), Arc::clone(&was_empty));
            let late: Py<_> = late.clone().unbind();
            move |py| {
                *was_empty.lock().unwrap() = Some(place.slot(py).is_empty());
                place.slot(py).set(late.bind(py).clone());
            }
        });
        let slot = place.slot(py);
        slot.fill(dead);
        slot.clear(py);
        assert_eq!(*was_empty.lock().unwrap(), Some(true));
        assert!(slot.holds(&late), "what the destructor put in stays");
        slot.clear(py);
        assert_eq!(count(&late), alone, "the destructor's own reference died with it");
    });
}

#[test]
fn a_destructor_finds_the_new_object_and_may_displace_it() {
    with_python(|py| {
        let place = Arc::new(GilSlot::new());
        let [new, late] = [thing(py), thing(py)];
        let alone = count(&new);
        let saw_new = Arc::new(Mutex::new(None));
        let dead = dying(py, {
            let (place, saw_new) = (Arc::clone(&place), Arc::clone(&saw_new));
            let [new, late] = [new.clone().unbind(), late.clone().unbind()];
            move |py| {
                *saw_new.lock().unwrap() = Some(place.slot(py).holds(new.bind(py)));
                place.slot(py).set(late.bind(py).clone());
            }
        });
        let slot = place.slot(py);
        slot.fill(dead);
        slot.set(new.clone());
        assert_eq!(*saw_new.lock().unwrap(), Some(true));
        assert!(slot.holds(&late), "the last to set wins");
        assert_eq!(count(&new), alone, "nobody keeps what was displaced");
        slot.clear(py);
        assert_eq!(count(&late), alone);
    });
}
