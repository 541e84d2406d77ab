//! Random lives: the agenda and asyncio's naive turn tell the same story of each.

use batonloop_core::{Agenda, Event};
use proptest::arbitrary::any;
use proptest::collection::vec;
use proptest::prop_oneof;
use proptest::strategy::{Just, Strategy};

use crate::chance::for_random;
use crate::world::{Act, Naive, Side, tell};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn random_lives_are_as_asyncio_would_have_them() {
    for_random(400, vec(any_act(), 1..60), |acts| {
        assert_eq!(tell(Agenda::new(), &acts), tell(Naive::default(), &acts));
    });
}

#[test]
fn random_timers_and_cancellations_are_as_asyncio_would_have_them() {
    // Many timers and few turns, so that whole sweeps happen.
    let timer = (0_i64..1_000, any_name()).prop_map(|(when, name)| Act::At(when, name));
    let act = prop_oneof![
        30 => timer,
        25 => any_name().prop_map(Act::Cancel),
        1 => (0_i64..1_000).prop_map(|now| Act::Turn(now, Vec::new())),
    ];
    for_random(40, vec(act, 300..900), |acts| {
        assert_eq!(tell(Agenda::new(), &acts), tell(Naive::default(), &acts));
    });
}

fn any_name() -> impl Strategy<Value = String> {
    (0..NAMES.len()).prop_map(|place| NAMES[place].to_owned())
}

fn any_fd() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 3..6, 1 => Just(65_536), 1 => Just(i32::MAX)]
}

fn any_side() -> impl Strategy<Value = Side> {
    any::<bool>().prop_map(|reads| if reads { Side::Reader } else { Side::Writer })
}

fn any_event() -> impl Strategy<Value = Event> {
    (any_fd(), any::<bool>(), any::<bool>()).prop_map(|(fd, readable, writable)| Event {
        fd,
        readable,
        writable,
    })
}

/// What a program may ask of its loop.
fn any_request() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => any_name().prop_map(Act::Soon),
        3 => (0_i64..20, any_name()).prop_map(|(when, name)| Act::At(when, name)),
        2 => (any_fd(), any_side(), any_name())
            .prop_map(|(fd, side, name)| Act::Watch(fd, side, name)),
        1 => (any_fd(), any_side()).prop_map(|(fd, side)| Act::Unwatch(fd, side)),
        3 => any_name().prop_map(Act::Cancel),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    let events = vec(any_event(), 0..5).prop_map(|mut events| {
        // A kernel reports each descriptor once.
        events.sort_by_key(|event| event.fd);
        events.dedup_by_key(|event| event.fd);
        events
    });
    prop_oneof![
        4 => any_request(),
        2 => (any_name(), any_request()).prop_map(|(name, act)| Act::When(name, Box::new(act))),
        3 => (0_i64..20, events).prop_map(|(now, events)| Act::Turn(now, events)),
    ]
}
