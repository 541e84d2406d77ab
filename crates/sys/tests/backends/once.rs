//! Descriptors that are watched once at a time, and guesses that are wrong.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use batonloop_core::Interest;

use crate::bench::{Pipe, event, on_every_selector, ready, refusal};

#[test]
fn what_is_watched_once_is_reported_once_a_wait() {
    on_every_selector(|selector| {
        let mut pipe = Pipe::new();
        let fd = pipe.reader_fd();
        selector.watch_once(fd, Interest::READABLE, false).unwrap();
        assert_eq!(ready(selector), []);
        for byte in 0..3 {
            pipe.writer.write_all(&[byte]).unwrap();
            assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
            assert_eq!(ready(selector), []);
            pipe.writer.write_all(&[byte]).unwrap();
            assert_eq!(ready(selector), [], "it is silent until it is asked for again");
            selector.watch_once(fd, Interest::READABLE, true).unwrap();
            assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
            pipe.reader.read_exact(&mut [0; 2]).unwrap();
            selector.watch_once(fd, Interest::READABLE, true).unwrap();
        }
    });
}

#[test]
fn a_hang_up_is_told_once_too() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        let fd = pipe.reader_fd();
        selector.watch_once(fd, Interest::READABLE, false).unwrap();
        drop(pipe.writer);
        assert_eq!(ready(selector).len(), 1);
        assert_eq!(ready(selector), []);
    });
}

#[test]
fn what_was_watched_once_can_be_watched_all_the_time() {
    on_every_selector(|selector| {
        let mut pipe = Pipe::new();
        let fd = pipe.reader_fd();
        pipe.writer.write_all(b"x").unwrap();
        selector.watch_once(fd, Interest::READABLE, false).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        selector.watch_again(fd, Interest::READABLE).unwrap();
        for _ in 0..3 {
            assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        }
        selector.unregister(fd).unwrap();
        assert_eq!(ready(selector), []);
    });
}

#[test]
fn a_wrong_guess_does_no_harm() {
    on_every_selector(|selector| {
        let mut pipe = Pipe::new();
        let fd = pipe.reader_fd();
        pipe.writer.write_all(b"x").unwrap();
        // It is not in the set.
        selector.watch_once(fd, Interest::READABLE, true).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        // It is.
        selector.watch_once(fd, Interest::READABLE, false).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        selector.unregister(fd).unwrap();
        selector.watch_again(fd, Interest::READABLE).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
    });
}

#[test]
fn another_file_under_the_same_number_is_watched_anew() {
    on_every_selector(|selector| {
        let old = Pipe::new();
        let fd = old.reader_fd();
        selector.watch_once(fd, Interest::READABLE, false).unwrap();
        // The old file lives on under another number.
        let mut new = Pipe::new();
        let kept = old.reader.try_clone().unwrap();
        let mut placed = std::os::fd::OwnedFd::from(old.reader);
        rustix::io::dup2(&new.reader, &mut placed).unwrap();
        assert_eq!(placed.as_raw_fd(), fd);
        selector.watch_once(fd, Interest::READABLE, true).unwrap();
        new.writer.write_all(b"x").unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        assert_eq!(ready(selector), []);
        drop(kept);
    });
}

#[test]
fn what_cannot_be_watched_cannot_be_watched_once() {
    on_every_selector(|selector| {
        for is_known in [false, true] {
            let refused = selector.watch_once(-1, Interest::READABLE, is_known);
            assert_eq!(refusal(refused), Some(libc::EBADF));
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        for is_known in [false, true] {
            let refused = selector.watch_once(file.as_raw_fd(), Interest::READABLE, is_known);
            assert_eq!(refusal(refused), Some(libc::EPERM));
        }
    });
}
