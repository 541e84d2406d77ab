//! A kernel without `epoll_pwait2`, and a sandbox that forbids it, are survived at the first call.
//!
//! A thread of the test forbids the call to itself, the way a sandbox would.

use std::io::Write;
use std::thread;
use std::time::Duration;

use batonloop_core::Interest;
use batonloop_sys::Selector;
use batonloop_sys::clock::now;

use crate::bench::{Pipe, event, ready, select};

#[test]
fn a_missing_epoll_pwait2_is_made_up_for() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        thread::spawn(move || without_pwait2(errno)).join().unwrap();
    }
}

fn without_pwait2(errno: libc::c_int) {
    if !forbid_pwait2(errno) {
        // Somebody has already forbidden us to forbid anything. The other tests of older kernels
        // still ask everything but the first refusal.
        return;
    }
    let selector = Selector::new().unwrap();
    let mut pipe = Pipe::new();
    selector.register(pipe.reader_fd(), Interest::READABLE).unwrap();
    assert_eq!(ready(&selector), []);
    pipe.writer.write_all(b"x").unwrap();
    let readable = [event(pipe.reader_fd(), Interest::READABLE)];
    assert_eq!(select(&selector, Duration::from_secs(20)), readable);
    assert_eq!(ready(&selector), readable);

    selector.unregister(pipe.reader_fd()).unwrap();
    let timeout = Duration::from_micros(300);
    let started = now();
    assert_eq!(select(&selector, timeout), []);
    assert!(started.until(now()) >= timeout);
}

/// From now on, `epoll_pwait2` fails in this thread. Answers whether that could be arranged.
fn forbid_pwait2(errno: libc::c_int) -> bool {
    const fn step(code: u32, k: u32, jump_if_true: u8, jump_if_false: u8) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: jump_if_true, jf: jump_if_false, k }
    }
    let refuse = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    let call = u32::try_from(libc::SYS_epoll_pwait2).expect("a small number");
    // The first word that the filter sees is the number of the call.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call, 0, 1),
        step(libc::BPF_RET | libc::BPF_K, refuse, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: all arguments are plain numbers; the effect is limited to this thread.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the program points to four valid steps, which the kernel copies; the effect is
    // limited to this thread, whose other calls stay allowed.
    let seccomp =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    no_new_privileges == 0 && seccomp == 0
}
