//! Watched descriptors: one reader and one writer each, whatever their number.

use batonloop_core::{Event, Interest, Watched};

use crate::world::{Call, check, inside};

#[test]
fn a_watcher_stays_and_is_roused_in_every_turn() {
    check(
        "reader 7 r
         turn 0 7r
         turn 0 7r
         turn 0",
        "rest: r
         rest: r
         rest:",
    );
}

#[test]
fn only_the_side_that_is_ready_is_roused() {
    check(
        "reader 7 r
         writer 7 w
         turn 0 7r
         turn 0 7w
         turn 0 7rw",
        "rest: r
         rest: w
         rest: r w",
    );
}

#[test]
fn an_event_nobody_waits_for_is_ignored() {
    check(
        "reader 7 r
         turn 0 8r 7w 9000000rw -1rw",
        "rest:",
    );
}

#[test]
fn a_new_reader_displaces_the_old_one_even_where_that_is_already_queued() {
    check(
        "when a: reader 7 new
         soon a
         reader 7 old
         turn 0 7r
         turn 0 7r",
        "sleep 0: a ~old
         rest: new",
    );
}

#[test]
fn a_reader_removed_in_the_same_turn_does_not_run() {
    check(
        "when w: no reader 8
         writer 7 w
         reader 8 r
         turn 0 7w 8r
         turn 0 8r",
        "rest: w ~r
         rest:",
    );
}

#[test]
fn a_cancelled_watcher_leaves_the_table_and_the_kernel_is_told_what_is_left() {
    check(
        "reader 7 r
         writer 7 w
         reader 8 q
         cancel r
         cancel q
         turn 0 7rw 8r
         turn 0 7rw 8r",
        "rest: narrow 7w narrow 8 w
         rest: w",
    );
}

#[test]
fn a_descriptor_that_loses_both_watchers_is_told_of_once() {
    check(
        "reader 7 r
         writer 7 w
         cancel r
         cancel w
         turn 0 7rw
         turn 0 7rw",
        "rest: narrow 7
         rest:",
    );
}

#[test]
fn interest_follows_what_is_set_and_taken() {
    for fd in [0, 7, 65_535, 65_536, i32::MAX] {
        let mut watched = Watched::new();
        assert_eq!(watched.interest(fd), Interest::NONE);
        assert!(watched.set_reader(fd, Call::new("r")).is_none());
        assert_eq!(watched.interest(fd), Interest::READABLE);
        assert!(watched.set_writer(fd, Call::new("w")).is_none());
        assert_eq!(watched.interest(fd), Interest::BOTH);
        assert_eq!(watched.len(), 1);
        assert_eq!(watched.take_reader(fd).map(name).as_deref(), Some("r"));
        assert_eq!(watched.interest(fd), Interest::WRITABLE);
        assert_eq!(watched.take_reader(fd).map(name), None);
        assert_eq!(watched.take_writer(fd).map(name).as_deref(), Some("w"));
        assert!(watched.is_empty() && watched.interest(fd).is_none());
        assert_eq!(watched.iter().count(), 0);
    }
}

#[test]
fn a_displaced_watcher_is_given_back_and_not_dropped() {
    let mut watched = Watched::new();
    assert!(watched.set_reader(7, Call::new("old")).is_none());
    let displaced = inside(|| watched.set_reader(7, Call::new("new")));
    assert_eq!(displaced.map(name).as_deref(), Some("old"));
    let left: Vec<&str> = watched.iter().map(|call| &call.name[..]).collect();
    assert_eq!((left, watched.len()), (vec!["new"], 1));
}

#[test]
fn a_huge_or_negative_number_does_not_blow_up_the_table() {
    let mut watched = Watched::new();
    let numbers = [i32::MAX, i32::MIN, -1, 3];
    for fd in numbers {
        assert!(watched.set_writer(fd, Call::new("w")).is_none());
    }
    assert_eq!((watched.len(), watched.iter().count()), (numbers.len(), numbers.len()));
    for fd in numbers {
        assert_eq!(watched.interest(fd), Interest::WRITABLE);
        assert_eq!(watched.take_writer(fd).map(name).as_deref(), Some("w"));
    }
    assert!(watched.is_empty());
}

#[test]
fn interests_add_and_subtract() {
    assert_eq!(Interest::NONE.and_readable(), Interest::READABLE);
    assert_eq!(Interest::READABLE.and_writable(), Interest::BOTH);
    assert_eq!(Interest::BOTH.but_readable(), Interest::WRITABLE);
    assert_eq!(Interest::WRITABLE.but_writable(), Interest::NONE);
    assert_eq!(Interest::NONE.but_readable(), Interest::NONE);
}

#[test]
fn an_event_is_a_small_plain_value() {
    assert!(size_of::<Event>() <= 8);
}

fn name(call: Call) -> String {
    call.name.clone()
}
