//! Timers: by deadline, then by age; never early; and what becomes of the cancelled.

use std::time::Duration;

use batonloop_core::{Agenda, Instant, Scheduled};

use crate::world::{Call, check, inside, looks_during};

#[test]
fn timers_run_by_deadline() {
    check(
        "at 30 c
         at 10 a
         at 20 b
         turn 30",
        "sleep 10: a b c",
    );
}

#[test]
fn timers_of_one_deadline_are_first_come_first_served() {
    check(
        "at 10 a
         at 10 b
         at 5 first
         at 10 c
         at 10 d
         at 10 e
         at 10 f
         turn 10",
        "sleep 5: first a b c d e f",
    );
}

#[test]
fn no_timer_is_early_and_none_is_late_without_need() {
    check(
        "at 10 a
         turn 9
         turn 10",
        "sleep 10:
         sleep 1: a",
    );
}

#[test]
fn a_timer_due_at_once_still_waits_for_the_next_turn() {
    check(
        "when a: at 0 b
         soon a
         turn 7
         turn 7",
        "sleep 0: a
         sleep 0: b",
    );
}

#[test]
fn a_cancelled_first_timer_does_not_shorten_the_sleep() {
    check(
        "at 10 a
         at 20 b
         at 30 c
         cancel a
         turn 15
         cancel b
         turn 30",
        "sleep 20:
         sleep 15: c",
    );
}

#[test]
fn a_loop_whose_only_timers_are_cancelled_rests() {
    check(
        "at 10 a
         at 20 b
         cancel a
         cancel b
         turn 30",
        "rest:",
    );
}

#[test]
fn a_timer_at_no_number_is_due_at_once_and_one_at_infinity_never() {
    let mut agenda = Agenda::new();
    agenda.call_at(Instant::from_seconds(f64::INFINITY), Call::new("never"));
    let now = Instant::from_seconds(1e6);
    assert_eq!(agenda.timeout(now), Some(Duration::from_secs(24 * 3600)));
    agenda.call_at(Instant::from_seconds(f64::NAN), Call::new("at once"));
    assert_eq!(agenda.timeout(now), Some(Duration::ZERO));
    agenda.gather(now, &[], (), &mut Vec::new());
    assert_eq!(agenda.ready.iter().map(|call| &call.name[..]).collect::<Vec<_>>(), ["at once"]);
    assert_eq!(agenda.scheduled.len(), 1);
}

#[test]
fn up_to_a_hundred_timers_are_not_swept() {
    let mut scheduled = many_timers(100);
    assert_eq!(cancel_where(&mut scheduled, |number| number > 0), 99);
    assert_eq!(swept(&mut scheduled), 0);
    assert_eq!(scheduled.len(), 100);
}

#[test]
fn up_to_half_cancelled_timers_are_not_swept() {
    let mut scheduled = many_timers(200);
    assert_eq!(cancel_where(&mut scheduled, |number| number % 2 == 1), 100);
    assert_eq!(swept(&mut scheduled), 0);
    assert_eq!(scheduled.len(), 200);
}

#[test]
fn more_than_half_cancelled_timers_are_swept_and_the_others_stay_in_order() {
    // Whether the one that stands first is among them or not.
    for kept in 0..3 {
        let mut scheduled = many_timers(300);
        assert_eq!(cancel_where(&mut scheduled, |number| number % 3 != kept), 200);
        assert_eq!(swept(&mut scheduled), 200);
        let left = pop_all(&mut scheduled, Instant::NEVER);
        let expected = (kept..300).step_by(3).map(|number| number.to_string());
        assert_eq!(left, expected.collect::<Vec<String>>());
    }
}

#[test]
fn the_cancelled_that_stand_first_are_swept_however_few_they_are() {
    let mut scheduled = many_timers(10);
    cancel_where(&mut scheduled, |number| [0, 1, 2, 5].contains(&number));
    assert_eq!(swept(&mut scheduled), 3);
    assert_eq!(scheduled.next_due(), Some(Instant::from_nanos(3)));
}

#[test]
fn nothing_is_looked_at_while_nothing_is_cancelled() {
    let mut scheduled = many_timers(500);
    assert_eq!(looks_during(|| scheduled.sweep((), &mut Vec::new())), 0);
}

#[test]
fn a_cancelled_timer_in_the_last_place_leaves_at_once() {
    let mut scheduled = many_timers(50);
    assert!(scheduled.take_last_cancelled(()).is_none());
    let last = Call::new("last");
    last.cancel();
    scheduled.schedule(Instant::from_nanos(1_000), last);
    scheduled.note_cancelled();
    let taken = inside(|| scheduled.take_last_cancelled(()));
    assert_eq!(taken.map(|call| call.name.clone()).as_deref(), Some("last"));
    assert_eq!(scheduled.len(), 50);
    assert_eq!(looks_during(|| scheduled.sweep((), &mut Vec::new())), 0, "nobody is left");
}

#[test]
fn a_timeout_that_is_not_needed_costs_one_look_however_many_timers_are_alive() {
    let mut agenda = Agenda::new();
    for number in 0..30_000 {
        agenda.call_at(Instant::from_nanos(number), Call::new("alive"));
    }
    let looks = looks_during(|| {
        for number in 30_000..40_000 {
            let call = Call::new("timeout");
            let cancelled = call.canceller();
            agenda.call_at(Instant::from_nanos(number), call);
            cancelled.set(true);
            agenda.note_cancelled();
            assert!(agenda.take_last_cancelled(()).is_some());
            agenda.sweep((), &mut Vec::new());
        }
    });
    assert_eq!(looks, 10_000);
    assert_eq!(agenda.scheduled.len(), 30_000);
}

#[test]
fn sweeping_costs_a_few_looks_per_cancelled_timer() {
    let alive = 10_000;
    let cancels = 60_000;
    let mut scheduled = many_timers(alive);
    let mut most = 0;
    let looks = looks_during(|| {
        for number in 0..cancels {
            // Each is due before all the living, so that none of them stays in the last place.
            let call = Call::new("cancelled");
            call.cancel();
            scheduled.schedule(Instant::from_nanos(-1 - number), call);
            scheduled.note_cancelled();
            most = most.max(scheduled.len());
            if number % 100 == 0 {
                // The one that stands first lives, so nothing but a whole sweep helps.
                scheduled.schedule(Instant::from_nanos(-1_000_000 - number), Call::new("first"));
                scheduled.sweep((), &mut Vec::new());
            }
        }
    });
    assert!(looks < 4 * cancels as usize, "{looks} looks for {cancels} cancellations");
    assert!(most < 3 * alive as usize, "{most} entries for {alive} living timers");
}

#[test]
fn a_count_that_is_too_high_makes_a_sweep_early_but_never_wrong() {
    let mut scheduled = many_timers(150);
    for _ in 0..1_000 {
        scheduled.note_cancelled();
    }
    assert_eq!(swept(&mut scheduled), 0);
    assert_eq!(pop_all(&mut scheduled, Instant::NEVER).len(), 150);
    for _ in 0..3 {
        scheduled.note_cancelled();
    }
    assert_eq!(swept(&mut scheduled), 0);
    assert_eq!(looks_during(|| scheduled.sweep((), &mut Vec::new())), 0, "an empty heap is clean");
}

#[test]
fn a_flood_of_timers_gives_its_memory_back_and_loses_nobody() {
    let mut agenda = Agenda::new();
    for number in 0..20_000 {
        agenda.call_at(Instant::from_nanos(number % 7), Call::new("timer"));
    }
    for now in 0..7 {
        inside(|| agenda.gather(Instant::from_nanos(now), &[], (), &mut Vec::new()));
    }
    assert_eq!((agenda.ready_len(), agenda.scheduled.len()), (20_000, 0));
}

/// Timers named by their number, due at that many nanoseconds.
fn many_timers(count: i64) -> Scheduled<Call> {
    let mut scheduled = Scheduled::new();
    // A stride without a common divisor visits every number once, in disorder.
    for step in 0..count {
        let number = step * 7_919 % count;
        scheduled.schedule(Instant::from_nanos(number), Call::new(&number.to_string()));
    }
    scheduled
}

fn cancel_where(scheduled: &mut Scheduled<Call>, chosen: impl Fn(i64) -> bool) -> usize {
    let is_chosen = |call: &&Call| chosen(call.name.parse().expect("a number"));
    let count = scheduled.iter().filter(is_chosen).inspect(|call| call.cancel()).count();
    for _ in 0..count {
        scheduled.note_cancelled();
    }
    count
}

fn swept(scheduled: &mut Scheduled<Call>) -> usize {
    let mut displaced = Vec::new();
    inside(|| scheduled.sweep((), &mut displaced));
    displaced.len()
}

fn pop_all(scheduled: &mut Scheduled<Call>, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| scheduled.pop_due(now)).map(|call| call.name.clone()).collect()
}
