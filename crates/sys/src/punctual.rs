//! Waking up on time.
//!
//! To save power the kernel may let a thread sleep a little longer than it asked for, by default
//! 50 microseconds: the timer slack of the thread (`prctl(2)`, `PR_SET_TIMERSLACK`). That is half
//! of all the lateness of a timer on an idle loop.

use std::num::NonZeroU64;

use rustix::thread::{current_timer_slack, set_current_timer_slack};

/// The slack of a thread that is punctual. Less would cost more than it gives: timers that are due
/// a microsecond apart would wake the thread one by one, where now it runs them together.
const SLACK_NANOSECONDS: Option<NonZeroU64> = NonZeroU64::new(20_000);

/// While it lives, the thread that began it wakes up at most 20 microseconds later than it must, as
/// far as it is up to the slack.
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
        let changed = set_current_timer_slack(SLACK_NANOSECONDS).is_ok();
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
