//! The clock that timers are measured by, and a cheaper one that only tells whether time has
//! passed.

use batonloop_core::Instant;
use rustix::time::{ClockId, clock_gettime};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// This moment, on the clock of Python's `time.monotonic()`.
#[inline]
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec * NANOS_PER_SECOND + time.tv_nsec)
}

/// A counter that grows steadily on one processor, in units of its own.
///
/// It costs a fraction of [`now`] and only serves to guess that a while has passed since the kernel
/// was last asked. It may jump when a thread moves to another processor; nothing that must be true
/// may rest on it.
#[inline]
#[must_use]
#[cfg(target_arch = "x86_64")]
pub fn ticks() -> u64 {
    // SAFETY: the instruction is part of the x86-64 baseline and touches no memory. Where a process
    // has forbidden it to itself, the kernel ends that process; no Rust state can be harmed.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds, where no cheaper counter is at hand.
#[inline]
#[must_use]
#[cfg(not(target_arch = "x86_64"))]
pub fn ticks() -> u64 {
    now().nanos().unsigned_abs()
}
