//! A sleep is never too short, and not too long by a millisecond.

use std::time::Duration;

use batonloop_core::Interest;
use batonloop_sys::clock::now;

use crate::bench::{Pipe, on_every_selector, select};

#[test]
fn no_sleep_is_too_short() {
    on_every_selector(|selector| {
        for micros in [1, 10, 99, 400, 999, 1_000, 1_001, 1_600, 3_300, 7_000] {
            let timeout = Duration::from_micros(micros);
            for nanos in [0, 1, 999] {
                let timeout = timeout + Duration::from_nanos(nanos);
                let started = now();
                assert_eq!(select(selector, timeout), []);
                let slept = started.until(now());
                assert!(slept >= timeout, "slept {slept:?} instead of {timeout:?}");
            }
        }
    });
}

#[test]
fn a_sleep_of_a_fraction_of_a_millisecond_is_not_rounded_to_one() {
    on_every_selector(|selector| {
        let timeout = Duration::from_micros(100);
        // The shortest of many, because the machine may have other things to do.
        let shortest = (0..50).map(|_| {
            let started = now();
            select(selector, timeout);
            started.until(now())
        });
        let shortest = shortest.min().unwrap();
        assert!(shortest < Duration::from_micros(600), "{shortest:?}");
    });
}

#[test]
fn no_timeout_is_too_long() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        selector.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
        for timeout in [Duration::from_secs(24 * 3600), Duration::from_secs(1 << 40), Duration::MAX]
        {
            assert_eq!(select(selector, timeout).len(), 1);
        }
        let mut events = Vec::new();
        selector.select(None, &mut events).unwrap();
        assert_eq!(events.len(), 1);
    });
}
