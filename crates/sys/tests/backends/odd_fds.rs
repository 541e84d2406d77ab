//! Descriptors that are closed, reused, copied, absurd or not for polling.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use batonloop_core::Interest;

use crate::bench::{Pipe, event, on_every_selector, ready, refusal};

#[test]
fn a_regular_file_cannot_be_polled() {
    on_every_selector(|selector| {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let refused = selector.register(file.as_raw_fd(), Interest::READABLE);
        assert_eq!(refusal(refused), Some(libc::EPERM));
        let nothing = File::open("/dev/null").unwrap();
        let refused = selector.register(nothing.as_raw_fd(), Interest::READABLE);
        assert_eq!(refusal(refused), Some(libc::EPERM));
    });
}

#[test]
fn an_absurd_number_is_refused() {
    on_every_selector(|selector| {
        for fd in [-1, -2, RawFd::MIN, RawFd::MAX, 1_000_000_000] {
            let refused = selector.register(fd, Interest::READABLE);
            assert_eq!(refusal(refused), Some(libc::EBADF), "{fd}");
            assert_eq!(refusal(selector.modify(fd, Interest::BOTH)), Some(libc::EBADF));
            assert_eq!(refusal(selector.unregister(fd)), Some(libc::EBADF));
        }
    });
}

#[test]
fn a_selector_cannot_watch_itself() {
    on_every_selector(|selector| {
        let refused = selector.register(selector.fd(), Interest::READABLE);
        assert_eq!(refusal(refused), Some(libc::EINVAL));
    });
}

#[test]
fn a_selector_can_watch_another() {
    on_every_selector(|selector| {
        let inner = batonloop_sys::Selector::new().unwrap();
        let pipe = Pipe::new();
        inner.register(pipe.writer_fd(), Interest::WRITABLE).unwrap();
        selector.register(inner.fd(), Interest::READABLE).unwrap();
        assert_eq!(ready(selector), [event(inner.fd(), Interest::READABLE)]);
    });
}

#[test]
fn a_closed_descriptor_is_forgotten_and_its_number_can_be_watched_anew() {
    on_every_selector(|selector| {
        let mut stranger = Pipe::new();
        stranger.writer.write_all(b"x").unwrap();
        // A number far from those that the other tests of this process open and close.
        let reader: OwnedFd = Pipe::new().reader.into();
        let fd = move_to(reader, 700);
        selector.register(fd, Interest::READABLE).unwrap();
        close(fd);
        assert_eq!(ready(selector), []);
        assert_eq!(refusal(selector.unregister(fd)), Some(libc::EBADF));

        let again = move_to(stranger.reader.into(), fd);
        assert_eq!(again, fd);
        assert_eq!(ready(selector), [], "the reused number inherits nothing");
        selector.register(fd, Interest::READABLE).unwrap();
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        close(fd);
    });
}

/// This is wrong, and nothing can be done about it: see the essay in `selector/epoll.rs`. The loop
/// unregisters before it closes, so that it does not come to this.
#[test]
fn a_closed_descriptor_with_a_living_copy_is_still_reported() {
    on_every_selector(|selector| {
        let mut pipe = Pipe::new();
        pipe.writer.write_all(b"x").unwrap();
        let copy = pipe.reader.try_clone().unwrap();
        let fd = move_to(pipe.reader.into(), 800);
        selector.register(fd, Interest::READABLE).unwrap();
        close(fd);
        assert_eq!(ready(selector), [event(fd, Interest::READABLE)]);
        assert_eq!(refusal(selector.unregister(fd)), Some(libc::EBADF));
        drop(copy);
        assert_eq!(ready(selector), []);
    });
}

/// Moves a descriptor to the first free number that is not below `lowest`.
fn move_to(fd: OwnedFd, lowest: RawFd) -> RawFd {
    let moved = rustix::io::fcntl_dupfd_cloexec(&fd, lowest).unwrap();
    moved.into_raw_fd()
}

fn close(fd: RawFd) {
    // SAFETY: the caller owns the number, which came from `move_to`, and does not use it again
    // except to see that it is gone.
    unsafe { rustix::io::close(fd) };
}
