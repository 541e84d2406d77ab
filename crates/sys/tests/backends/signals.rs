//! Signals interrupt a sleep, may wake a loop, and leave their numbers in a pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use batonloop_core::Interest;
use batonloop_sys::{Selector, SignalPipe, Waker};
use rustix::io::Errno;

use crate::bench::{PATIENCE, event, on_every_selector, ready, select};

#[test]
fn a_signal_interrupts_a_sleep() {
    extern "C" fn do_nothing(_: libc::c_int) {}
    handle(libc::SIGUSR1, do_nothing);
    on_every_selector(|selector| {
        // SAFETY: the call has no preconditions.
        let sleeper = unsafe { libc::pthread_self() };
        let (ends, over) = mpsc::channel();
        let result = thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody can tell from outside when a thread has fallen asleep; so try again.
                while over.recv_timeout(Duration::from_micros(200)).is_err() {
                    // SAFETY: the thread lives, for it waits for this one at the end of the scope.
                    unsafe { libc::pthread_kill(sleeper, libc::SIGUSR1) };
                }
            });
            let mut events = vec![event(5, Interest::BOTH)];
            let result = selector.select(Some(PATIENCE), &mut events);
            ends.send(()).unwrap();
            assert_eq!(events, []);
            result
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
    });
}

#[test]
fn a_signal_handler_may_wake_the_loop() {
    static WAKER: OnceLock<Waker> = OnceLock::new();
    extern "C" fn wake(_: libc::c_int) {
        if let Some(waker) = WAKER.get() {
            waker.wake();
        }
    }
    let selector = Selector::new().unwrap();
    let waker = WAKER.get_or_init(|| Waker::new(&selector).unwrap());
    handle(libc::SIGUSR2, wake);
    for _ in 0..3 {
        // SAFETY: the handler of this signal is the function above, which is made for that.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        assert_eq!(select(&selector, PATIENCE), [event(waker.fd(), Interest::READABLE)]);
        waker.drain();
        assert_eq!(ready(&selector), []);
    }
}

#[test]
fn a_signal_pipe_gives_out_the_numbers_in_the_order_of_their_coming() {
    on_every_selector(|selector| {
        let pipe = SignalPipe::new(selector).unwrap();
        let mut signals = vec![1];
        pipe.read(&mut signals).unwrap();
        assert_eq!(signals, [1], "nothing came, and nothing blocks");
        assert_eq!(write_to(&pipe, &[2]), Ok(1));
        assert_eq!(write_to(&pipe, &[15, 10]), Ok(2));
        assert_eq!(ready(selector), [event(pipe.reader_fd(), Interest::READABLE)]);
        pipe.read(&mut signals).unwrap();
        assert_eq!(signals, [1, 2, 15, 10]);
        assert_eq!(ready(selector), []);
    });
}

#[test]
fn a_full_signal_pipe_refuses_instead_of_blocking_and_can_be_emptied() {
    on_every_selector(|selector| {
        let pipe = SignalPipe::new(selector).unwrap();
        let mut written = 0;
        let refused = loop {
            match write_to(&pipe, &[7; 1_000]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, Errno::AGAIN);
        let mut signals = Vec::new();
        pipe.read(&mut signals).unwrap();
        assert_eq!(signals.len(), written);
    });
}

/// Writes as a signal handler does: a byte per signal.
fn write_to(pipe: &SignalPipe, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the pipe is borrowed for longer than its number.
    let writer = unsafe { BorrowedFd::borrow_raw(pipe.writer_fd()) };
    rustix::io::write(writer, bytes)
}

fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    let handler = handler as *const () as libc::sighandler_t;
    // SAFETY: the handlers of this file do nothing that a signal handler may not do.
    let result = unsafe { libc::signal(signal, handler) };
    assert_ne!(result, libc::SIG_ERR);
}
