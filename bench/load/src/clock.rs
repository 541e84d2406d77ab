//! The time on the wall, for the length of a window: nothing that is reported depends on it.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment in the past.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock begins at zero when the machine starts.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
