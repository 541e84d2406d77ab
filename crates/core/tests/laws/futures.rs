//! A future is settled once, and moments are rounded so that no timer is early.

use batonloop_core::{Instant, InvalidState, Stage};
use proptest::strategy::Strategy;

use crate::chance::for_random;

#[test]
fn a_future_is_settled_once() {
    use Stage::{Cancelled, Finished, Pending};
    for from in [Pending, Cancelled, Finished] {
        for to in [Pending, Cancelled, Finished] {
            let expected =
                if from == Pending && to != Pending { Ok(to) } else { Err(InvalidState) };
            assert_eq!(from.settle(to), expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn only_a_pending_future_can_be_cancelled() {
    assert_eq!(Stage::Pending.cancel(), Some(Stage::Cancelled));
    assert_eq!(Stage::Cancelled.cancel(), None);
    assert_eq!(Stage::Finished.cancel(), None);
}

#[test]
fn the_numbers_of_stages_are_those_of_cpython() {
    for (stage, number, name, is_done) in [
        (Stage::Pending, 0, "PENDING", false),
        (Stage::Cancelled, 1, "CANCELLED", true),
        (Stage::Finished, 2, "FINISHED", true),
    ] {
        assert_eq!((stage.number(), stage.name(), stage.is_done()), (number, name, is_done));
    }
    assert_eq!(Stage::default(), Stage::Pending);
}

#[test]
fn seconds_become_the_first_nanosecond_that_is_not_before_them() {
    // Up to some three hundred years, which is all that the nanoseconds can hold.
    let all = (1e-12_f64.to_bits()..9e9_f64.to_bits()).prop_map(f64::from_bits);
    for_random(2_000, all, |seconds| {
        let instant = Instant::from_seconds(seconds);
        assert!(instant.seconds() >= seconds, "{seconds} is early");
        // Where floats are finer than nanoseconds, the nanosecond before would be too early.
        if seconds < 1e6 && instant.nanos() > 0 {
            let before = Instant::from_nanos(instant.nanos() - 1);
            assert!(before.seconds() < seconds, "{seconds} is late");
        }
    });
}

#[test]
fn seconds_keep_their_order() {
    let near = (0_u64..1_000_000_000_000, 0_u64..100).prop_map(|(nanos, steps)| {
        let seconds = nanos as f64 / 1e9;
        (seconds, f64::from_bits(seconds.to_bits() + steps))
    });
    for_random(2_000, near, |(earlier, later)| {
        assert!(Instant::from_seconds(earlier) <= Instant::from_seconds(later));
    });
}

#[test]
fn a_moment_that_a_clock_gave_is_due_at_that_moment() {
    for_random(2_000, 0_i64..1 << 52, |nanos| {
        let now = Instant::from_nanos(nanos);
        assert!(Instant::from_seconds(now.seconds()) <= Instant::from_nanos(nanos + 1));
    });
}

#[test]
fn odd_seconds_have_a_place_too() {
    assert_eq!(Instant::from_seconds(f64::NAN), Instant::ALWAYS);
    assert_eq!(Instant::from_seconds(-f64::NAN), Instant::ALWAYS);
    assert_eq!(Instant::from_seconds(f64::NEG_INFINITY), Instant::ALWAYS);
    assert_eq!(Instant::from_seconds(f64::INFINITY), Instant::NEVER);
    assert_eq!(Instant::from_seconds(1e300), Instant::NEVER);
    assert_eq!(Instant::from_seconds(-0.0), Instant::from_nanos(0));
    assert_eq!(Instant::from_seconds(-1.5e-9), Instant::from_nanos(-1));
}

#[test]
fn the_time_until_a_moment_is_never_negative() {
    let (early, late) = (Instant::from_nanos(3), Instant::from_nanos(10));
    assert_eq!(early.until(late).as_nanos(), 7);
    assert_eq!(late.until(early).as_nanos(), 0);
    assert_eq!(Instant::ALWAYS.until(Instant::NEVER).as_nanos(), i64::MAX as u128);
    assert_eq!(late.after(early.until(late)), Instant::from_nanos(17));
    assert_eq!(late.after(std::time::Duration::MAX), Instant::NEVER);
}
