//! Who is reported, how often, and as what.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use batonloop_core::{Event, Interest};

use crate::bench::{PATIENCE, Pipe, event, on_every_selector, ready, refusal, select};

#[test]
fn a_pipe_with_bytes_is_readable_until_they_are_read() {
    on_every_selector(|selector| {
        let mut pipe = Pipe::new();
        selector.register(pipe.reader_fd(), Interest::READABLE).unwrap();
        assert_eq!(ready(selector), []);
        pipe.writer.write_all(b"ab").unwrap();
        let readable = [event(pipe.reader_fd(), Interest::READABLE)];
        assert_eq!(ready(selector), readable);
        pipe.reader.read_exact(&mut [0]).unwrap();
        assert_eq!(ready(selector), readable, "a byte is left, and the level counts");
        pipe.reader.read_exact(&mut [0]).unwrap();
        assert_eq!(ready(selector), []);
    });
}

#[test]
fn a_pipe_with_room_is_writable() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        selector.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
        let writable = [event(pipe.writer_fd(), Interest::WRITABLE)];
        assert_eq!(ready(selector), writable);
        assert_eq!(ready(selector), writable);
    });
}

#[test]
fn only_what_is_wanted_ends_a_sleep() {
    on_every_selector(|selector| {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = one.as_raw_fd();
        selector.register(fd, Interest::READABLE).unwrap();
        assert_eq!(ready(selector), []);
        selector.modify(fd, Interest::BOTH).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::WRITABLE)]);
        selector.modify(fd, Interest::READABLE).unwrap();
        assert_eq!(ready(selector), []);
        selector.modify(fd, Interest::WRITABLE).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::WRITABLE)]);
    });
}

#[test]
fn both_sides_of_a_descriptor_are_one_event() {
    on_every_selector(|selector| {
        let (one, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
        other.write_all(b"x").unwrap();
        selector.register(one.as_raw_fd(), Interest::BOTH).unwrap();
        assert_eq!(ready(selector), [event(one.as_raw_fd(), Interest::BOTH)]);
    });
}

#[test]
fn a_hang_up_rouses_the_reader() {
    on_every_selector(|selector| {
        let Pipe { reader, writer } = Pipe::new();
        selector.register(reader.as_raw_fd(), Interest::READABLE).unwrap();
        drop(writer);
        // Nobody would read the end of the stream otherwise. That it can be written too is what
        // Python's selectors say; the loop's own table knows that nobody waits for it.
        assert_eq!(ready(selector), [event(reader.as_raw_fd(), Interest::BOTH)]);
    });
}

#[test]
fn a_pipe_that_nobody_reads_rouses_the_writer() {
    on_every_selector(|selector| {
        let Pipe { reader, writer } = Pipe::new();
        selector.register(writer.as_raw_fd(), Interest::WRITABLE).unwrap();
        drop(reader);
        // Python's selectors say the same: an error is both.
        assert_eq!(ready(selector), [event(writer.as_raw_fd(), Interest::BOTH)]);
    });
}

#[test]
fn what_is_unregistered_is_not_reported() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        selector.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
        selector.unregister(pipe.writer_fd()).unwrap();
        assert_eq!(ready(selector), []);
        selector.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
        assert_eq!(ready(selector).len(), 1);
    });
}

#[test]
fn old_events_are_replaced() {
    on_every_selector(|selector| {
        let mut events = vec![event(5, Interest::BOTH); 3];
        selector.select(Some(Duration::ZERO), &mut events).unwrap();
        assert_eq!(events, []);
    });
}

#[test]
fn one_select_reports_all_that_is_ready_and_each_once() {
    for count in [1, 31, 32, 33, 255, 256, 257, 400] {
        on_every_selector(|selector| {
            let mut pipe = Pipe::new();
            pipe.writer.write_all(b"x").unwrap();
            let copies: Vec<_> = (0..count).map(|_| pipe.reader.try_clone().unwrap()).collect();
            for copy in &copies {
                selector.register(copy.as_raw_fd(), Interest::READABLE).unwrap();
            }
            let mut expected: Vec<Event> =
                copies.iter().map(|copy| event(copy.as_raw_fd(), Interest::READABLE)).collect();
            expected.sort_by_key(|event| event.fd);
            assert_eq!(ready(selector), expected);
        });
    }
}

#[test]
fn a_sleeping_select_hears_of_a_new_descriptor_at_once() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        thread::scope(|scope| {
            let (starts, started) = mpsc::channel();
            let sleeper = scope.spawn(move || {
                starts.send(()).unwrap();
                select(selector, PATIENCE)
            });
            started.recv().unwrap();
            selector.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
            let writable = [event(pipe.writer_fd(), Interest::WRITABLE)];
            assert_eq!(sleeper.join().unwrap(), writable);
        });
    });
}

#[test]
fn dropping_a_selector_closes_nothing_but_itself() {
    on_every_selector(|_| {
        let selector = batonloop_sys::Selector::new().unwrap();
        let mut pipe = Pipe::new();
        selector.register(pipe.reader_fd(), Interest::READABLE).unwrap();
        drop(selector);
        pipe.writer.write_all(b"x").unwrap();
        pipe.reader.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn the_kernel_says_why_it_refuses() {
    on_every_selector(|selector| {
        let pipe = Pipe::new();
        let fd = pipe.reader_fd();
        assert_eq!(refusal(selector.modify(fd, Interest::BOTH)), Some(libc::ENOENT));
        assert_eq!(refusal(selector.unregister(fd)), Some(libc::ENOENT));
        selector.register(fd, Interest::READABLE).unwrap();
        assert_eq!(refusal(selector.register(fd, Interest::READABLE)), Some(libc::EEXIST));
    });
}
