//! Waking up on time.
//!
//! To save power the kernel may let a thread sleep a little longer than it asked for, by default
//! 50 microseconds: the timer slack of the thread (`prctl(2)`, `PR_SET_TIMERSLACK`). That is half
//! of all the lateness of a timer on an idle loop.

use std::num::NonZeroU64;

use rustix::thread::{current_timer_slack, set_current_timer_slack};

/// The least that the kernel takes; 0 would mean the default.
const LEAST_NANOSECONDS: NonZeroU64 = NonZeroU64::MIN;

/// While it lives, the thread that began it wakes up as early as the kernel can.
///
/// Threads and processes that are started meanwhile inherit that.
#[derive(Debug)]
pub struct Punctual {
    /// The slack from before, in nanoseconds; `None` where the kernel would not change it.
    before: Option<NonZeroU64>,
}

impl Punctual {
    /// Begins it for this thread. Where the kernel refuses, nothing changes.
    #[must_use = "it ends when it is dropped"]
    pub fn begin() -> Self {
        let before = current_timer_slack().ok().and_then(NonZeroU64::new);
        let changed = set_current_timer_slack(Some(LEAST_NANOSECONDS)).is_ok();
        Self { before: before.filter(|_| changed) }
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        if self.before.is_some() {
            // What the kernel took before it takes again.
            let _ = set_current_timer_slack(self.before);
        }
    }
}
