//! No wake is lost, however many come at once and from wherever.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use batonloop_core::Interest;
use batonloop_sys::{Selector, Waker};

use crate::bench::{PATIENCE, event, on_every_selector, ready, select};

#[test]
fn a_wake_ends_the_sleep_and_is_reported_until_it_is_drained() {
    on_every_selector(|selector| {
        let waker = Waker::new(selector).unwrap();
        assert_eq!(ready(selector), []);
        waker.wake();
        let woken = [event(waker.fd(), Interest::READABLE)];
        assert_eq!(ready(selector), woken);
        assert_eq!(ready(selector), woken);
        waker.drain();
        assert_eq!(ready(selector), []);
        waker.wake();
        assert_eq!(ready(selector), woken, "one drain does not end it for ever");
    });
}

#[test]
fn many_wakes_are_one() {
    on_every_selector(|selector| {
        let waker = Waker::new(selector).unwrap();
        for _ in 0..1_000 {
            waker.wake();
        }
        assert_eq!(ready(selector).len(), 1);
        waker.drain();
        assert_eq!(ready(selector), []);
    });
}

#[test]
fn a_drain_without_a_wake_does_no_harm() {
    on_every_selector(|selector| {
        let waker = Waker::new(selector).unwrap();
        waker.drain();
        waker.wake();
        assert_eq!(ready(selector).len(), 1);
    });
}

#[test]
fn wakers_of_one_selector_do_not_disturb_each_other() {
    on_every_selector(|selector| {
        let wakers = [Waker::new(selector).unwrap(), Waker::new(selector).unwrap()];
        wakers[1].wake();
        assert_eq!(ready(selector), [event(wakers[1].fd(), Interest::READABLE)]);
        wakers[0].wake();
        assert_eq!(ready(selector).len(), 2);
        wakers[1].drain();
        assert_eq!(ready(selector), [event(wakers[0].fd(), Interest::READABLE)]);
    });
}

#[test]
fn no_message_of_many_producers_is_overslept() {
    const PRODUCERS: usize = 8;
    const MESSAGES: usize = 3_000;
    on_every_selector(|selector| {
        let waker = Waker::new(selector).unwrap();
        let inbox = Mutex::new(0_usize);
        thread::scope(|scope| {
            for _ in 0..PRODUCERS {
                scope.spawn(|| {
                    for _ in 0..MESSAGES {
                        *inbox.lock().unwrap() += 1;
                        waker.wake();
                    }
                });
            }
            let mut taken = 0;
            while taken < PRODUCERS * MESSAGES {
                // A lost wake would leave messages in the inbox and this loop asleep.
                let events = select(selector, PATIENCE);
                assert_eq!(events, [event(waker.fd(), Interest::READABLE)], "{taken} were taken");
                waker.drain();
                taken += std::mem::take(&mut *inbox.lock().unwrap());
            }
        });
        waker.drain();
        assert_eq!(select(selector, Duration::ZERO), []);
    });
}

#[test]
fn each_message_wakes_a_loop_that_waits_for_it() {
    // Ping and pong: at every step one side is asleep, and only the other can wake it.
    let selectors = [Selector::new().unwrap(), Selector::for_older_kernels().unwrap()];
    let wakers = [Waker::new(&selectors[0]).unwrap(), Waker::new(&selectors[1]).unwrap()];
    let answers = |own: usize, other: usize| {
        for _ in 0..2_000 {
            assert_eq!(select(&selectors[own], PATIENCE).len(), 1);
            wakers[own].drain();
            wakers[other].wake();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| answers(1, 0));
        wakers[1].wake();
        answers(0, 1);
    });
}
