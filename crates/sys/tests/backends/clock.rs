//! The clock is Python's, and goes forward.

use std::time::Duration;

use batonloop_sys::clock::{now, ticks};

#[test]
fn the_clock_never_goes_back() {
    let mut before = now();
    for _ in 0..10_000 {
        let after = now();
        assert!(after >= before);
        before = after;
    }
}

#[test]
fn the_clock_is_the_monotonic_one() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let before = now();
    // SAFETY: the pointer is to a local value of the type that the call fills.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(result, 0);
    let between = time.tv_sec * 1_000_000_000 + time.tv_nsec;
    assert!(before.nanos() <= between && between <= now().nanos());
}

#[test]
fn the_clock_counts_nanoseconds() {
    // A clock of coarser steps would give no other remainder than zero.
    let remainders = (0..1_000).map(|_| now().nanos() % 1_000);
    assert!(remainders.into_iter().any(|remainder| remainder != 0));
}

#[test]
fn ticks_pass_while_time_passes() {
    let (started, ticked) = (now(), ticks());
    while started.until(now()) < Duration::from_millis(1) {}
    // Nothing more is promised: the thread may have moved to another processor.
    assert_ne!(ticks(), ticked);
}
