//! One turn: what runs, in which order, and what has to wait for the next.

use batonloop_core::{Agenda, Instant, Interest};

use crate::world::{Call, check, inside};

#[test]
fn handles_run_in_the_order_in_which_they_came() {
    check(
        "soon a
         soon b
         soon c
         turn 0",
        "sleep 0: a b c",
    );
}

#[test]
fn what_a_handle_queues_waits_for_the_next_turn() {
    check(
        "when a: soon b
         when b: soon c
         soon a
         turn 0
         turn 0
         turn 0
         turn 0",
        "sleep 0: a
         sleep 0: b
         sleep 0: c
         rest:",
    );
}

#[test]
fn a_handle_that_queues_itself_for_ever_lets_the_others_run() {
    check(
        "when a: soon a
         soon a
         soon b
         at 3 late
         turn 1
         turn 2 7r
         turn 3",
        "sleep 0: a b
         sleep 0: a
         sleep 0: a late",
    );
}

#[test]
fn what_was_ready_goes_before_events_and_events_before_timers() {
    check(
        "at 5 timer
         reader 7 reader
         writer 7 writer
         soon soon
         turn 5 7rw",
        "sleep 0: soon reader writer timer",
    );
}

#[test]
fn events_rouse_in_the_order_in_which_the_kernel_reports_them() {
    check(
        "reader 3 r3
         writer 3 w3
         reader 9 r9
         turn 0 9r 3rw",
        "rest: r9 r3 w3",
    );
}

#[test]
fn a_handle_cancelled_by_another_of_the_same_turn_does_not_run() {
    check(
        "when a: cancel b
         soon a
         soon b
         soon c
         turn 0",
        "sleep 0: a ~b c",
    );
}

#[test]
fn a_timer_cancelled_by_an_event_of_the_same_turn_does_not_run() {
    check(
        "when r: cancel t
         at 5 t
         reader 7 r
         turn 5 7r",
        "sleep 5: r ~t",
    );
}

#[test]
fn a_loop_with_nothing_to_do_rests_until_it_is_woken() {
    check("turn 0", "rest:");
}

#[test]
fn a_watched_descriptor_alone_does_not_end_the_rest() {
    check(
        "reader 7 r
         turn 0",
        "rest:",
    );
}

#[test]
fn a_loop_sleeps_until_its_first_timer() {
    check(
        "at 90 b
         at 40 a
         turn 10
         turn 40
         turn 41
         turn 95
         turn 96",
        "sleep 40:
         sleep 30: a
         sleep 50:
         sleep 49: b
         rest:",
    );
}

#[test]
fn no_sleep_is_longer_than_a_day() {
    check(
        "at 9000000000000000 a
         turn 1",
        "sleep 86400000000000:",
    );
}

#[test]
fn a_timer_that_is_overdue_forbids_sleep() {
    check(
        "turn 50
         at 20 a
         turn 50",
        "rest:
         sleep 0: a",
    );
}

#[test]
fn a_turn_gives_out_no_more_than_it_counted() {
    let mut agenda = Agenda::new();
    for name in ["a", "b"] {
        agenda.call_soon(Call::new(name));
    }
    assert!(agenda.next_handle().is_none(), "no turn is open yet");
    assert_eq!(agenda.open_turn(), 2);
    agenda.call_soon(Call::new("c"));
    assert_eq!(agenda.remaining(), 2);
    let ran: Vec<String> = std::iter::from_fn(|| agenda.next_handle()).map(name).collect();
    assert_eq!(ran, ["a", "b"]);
    assert_eq!((agenda.ready_len(), agenda.remaining()), (1, 0));
}

#[test]
fn the_first_handle_may_come_with_the_count() {
    let mut agenda = Agenda::new();
    assert!(agenda.open_turn_with_first().is_none());
    for name in ["a", "b"] {
        agenda.call_soon(Call::new(name));
    }
    let first = agenda.open_turn_with_first().map(|(call, more)| (name(call), more));
    assert_eq!(first, Some(("a".to_owned(), 1)));
    agenda.call_soon(Call::new("c"));
    assert_eq!(agenda.next_handle().map(name).as_deref(), Some("b"));
    assert!(agenda.next_handle().is_none());
}

#[test]
fn a_turn_within_a_turn_ends_the_outer_one() {
    let mut agenda = Agenda::new();
    for name in ["a", "b", "c"] {
        agenda.call_soon(Call::new(name));
    }
    agenda.open_turn();
    assert_eq!(agenda.next_handle().map(name).as_deref(), Some("a"));
    agenda.open_turn();
    assert_eq!(agenda.next_handle().map(name).as_deref(), Some("b"));
    assert_eq!(agenda.next_handle().map(name).as_deref(), Some("c"));
    agenda.call_soon(Call::new("d"));
    assert!(agenda.next_handle().is_none());
}

#[test]
fn a_closing_agenda_gives_out_everything() {
    let mut agenda = Agenda::new();
    agenda.call_soon(Call::new("soon"));
    agenda.call_at(Instant::from_nanos(5), Call::new("timer"));
    assert!(agenda.watched.set_reader(7, Call::new("reader")).is_none());
    assert!(agenda.watched.set_writer(1_000_000, Call::new("writer")).is_none());
    agenda.open_turn();

    let seen: Vec<String> = agenda.iter().map(|call| call.name.clone()).collect();
    assert_eq!(seen, ["soon", "timer", "reader", "writer"]);

    let taken: Vec<String> = inside(|| agenda.take_all()).into_iter().map(name).collect();
    assert_eq!(taken, seen);
    assert_eq!(agenda.iter().count(), 0);
    assert!(agenda.next_handle().is_none());
    assert_eq!(agenda.watched.interest(7), Interest::NONE);
}

#[test]
fn a_flood_gives_its_memory_back_and_loses_nobody() {
    let mut agenda = Agenda::new();
    for number in 0..20_000 {
        agenda.call_soon(Call::new(&number.to_string()));
    }
    let mut next = 0;
    while agenda.ready_len() > 100 {
        inside(|| agenda.relax());
        agenda.open_turn();
        // Leave a few behind, so that the ring shrinks while it is not empty.
        while agenda.remaining() > 50 {
            let ran = agenda.next_handle().map(name);
            assert_eq!(ran, Some(next.to_string()));
            next += 1;
        }
    }
    for _ in 0..10 {
        inside(|| agenda.relax());
    }
    agenda.open_turn();
    let left: Vec<String> = std::iter::from_fn(|| agenda.next_handle()).map(name).collect();
    let expected: Vec<String> = (next..20_000).map(|number| number.to_string()).collect();
    assert_eq!(left, expected);
}

fn name(call: Call) -> String {
    call.name.clone()
}
