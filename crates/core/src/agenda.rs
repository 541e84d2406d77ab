//! What a loop has to do, and in which order: the law of one turn.
//!
//! ```text
//!        call_soon ─────────────────────────┐
//!                                           ▼
//!   ┌───────────┐ 3b due timers      ┌────────────┐ 5 next_handle
//!   │ scheduled ├───────────────────▶│   ready    ├───────────────▶ the host runs it
//!   └─────▲─────┘                    └────────────┘   as many as were there
//!         │                                 ▲         when the turn was opened
//!     call_at                               │
//!   ┌───────────┐ 3a roused watchers        │
//!   │  watched  ├───────────────────────────┘
//!   └───────────┘
//!
//!        ┌───────────────────────────────── one turn ──────────────────────────────────┐
//!        │ 0 sweep        cancelled timers leave                        core, pure      │
//!        │ 1 timeout      how long may we sleep?                        core, pure      │
//!        │ 2 select       sleep, collect events                         host, no borrow │
//!        │ 3 gather       a: roused watchers, then b: due timers        core, pure      │
//!        │ 4 open_turn    the count is saved                            core, pure      │
//!        │ 5 next_handle  exactly that many; the host runs each of them host, no borrow │
//!        └─────────────────────────────────────────────────────────────────────────────┘
//!          What step 5 queues waits for the next turn.
//! ```
//!
//! A host may leave out step 2, and pass no events, while there is work and the kernel was asked
//! not long ago. It may not change the order. A handle that is cancelled while it waits in the
//! ready queue stays there and keeps its place in the count, as in asyncio; the host skips it.

use std::time::Duration;

use crate::handle::Handle;
use crate::instant::Instant;
use crate::ready::Ready;
use crate::scheduled::Scheduled;
use crate::watched::{Event, Interest, Side, Watched};

/// A loop never sleeps longer than this at a time. Some kernels take no more; asyncio does the
/// same.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// What is ready, scheduled and watched.
#[derive(Debug)]
pub struct Agenda<H> {
    /// Handles that can run.
    pub ready: Ready<H>,
    /// Handles that wait for a moment.
    pub scheduled: Scheduled<H>,
    /// Handles that wait for a descriptor.
    pub watched: Watched<H>,
    /// How many handles the open turn may still run.
    remaining: usize,
    /// Descriptors that lost a cancelled handle, of which the kernel does not know yet.
    narrowed: Vec<i32>,
}

impl<H> Agenda<H> {
    /// An empty agenda, which has no memory of its own yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ready: Ready::new(),
            scheduled: Scheduled::new(),
            watched: Watched::new(),
            remaining: 0,
            narrowed: Vec::new(),
        }
    }
}

impl<H> Default for Agenda<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Handle> Agenda<H> {
    /// Queues a handle for the next turn.
    #[inline(always)]
    pub fn call_soon(&mut self, handle: H) {
        self.ready.push(handle);
    }

    /// Schedules a handle. It becomes ready in the first turn whose `now` is not before `when`.
    #[inline]
    pub fn call_at(&mut self, when: Instant, handle: H) {
        self.scheduled.schedule(when, handle);
    }

    /// Step 0: cancelled timers leave, so that the loop does not wake up for them.
    #[inline]
    pub fn sweep(&mut self, token: H::Token<'_>, displaced: &mut Vec<H>) {
        self.scheduled.sweep(token, displaced);
    }

    /// Gives memory back after a flood. The host asks for it now and then, as when it selects.
    #[inline]
    pub fn relax(&mut self) {
        self.ready.relax();
    }

    /// Step 1: how long the loop may sleep. `None` means until something wakes it.
    #[inline]
    #[must_use]
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.scheduled.next_due()?;
        Some(now.until(due).min(LONGEST_SLEEP))
    }

    /// Step 3: queues the readers and writers that `events` rouse, then the timers that are due.
    ///
    /// Cancelled handles go to `displaced` instead. A cancelled reader or writer also leaves the
    /// table; ask [`pop_narrowed`](Self::pop_narrowed) afterwards what the kernel must be told.
    #[inline]
    pub fn gather(
        &mut self,
        now: Instant,
        events: &[Event],
        token: H::Token<'_>,
        displaced: &mut Vec<H>,
    ) {
        for event in events {
            if event.readable {
                self.rouse(event.fd, Side::Reader, token, displaced);
            }
            if event.writable {
                self.rouse(event.fd, Side::Writer, token, displaced);
            }
        }
        if self.scheduled.next_due().is_some_and(|due| due <= now) {
            self.gather_due(now, token, displaced);
        }
    }

    /// Step 4: from now on [`next_handle`](Self::next_handle) gives out what is ready at this
    /// moment, and no more. Returns how many handles that are.
    #[inline]
    pub fn open_turn(&mut self) -> usize {
        self.remaining = self.ready.len();
        self.remaining
    }

    /// Step 4, and step 5 for the first handle: that handle, and how many more there are.
    #[inline(always)]
    #[must_use]
    pub fn open_turn_with_first(&mut self) -> Option<(H, usize)> {
        let first = self.ready.pop()?;
        self.remaining = self.ready.len();
        Some((first, self.remaining))
    }

    /// Step 5: the next handle of the open turn, in the order in which they became ready.
    #[inline]
    #[must_use]
    pub fn next_handle(&mut self) -> Option<H> {
        self.remaining = self.remaining.checked_sub(1)?;
        self.ready.pop()
    }

    /// A descriptor that lost a cancelled handle in [`gather`](Self::gather), and what is still
    /// wanted of it. The host passes that on to the kernel.
    #[inline]
    #[must_use = "the kernel still watches for more than is wanted"]
    pub fn pop_narrowed(&mut self) -> Option<(i32, Interest)> {
        let fd = self.narrowed.pop()?;
        Some((fd, self.watched.interest(fd)))
    }

    /// Counts a scheduled handle as cancelled. The host says so once per handle.
    #[inline]
    pub fn note_cancelled(&mut self) {
        self.scheduled.note_cancelled();
    }

    /// Takes out the timer in the last place if it was cancelled. Asked right after
    /// [`note_cancelled`](Self::note_cancelled), it frees a timeout that was not needed at once.
    #[inline]
    #[must_use = "the timer is to be dropped with nothing borrowed"]
    pub fn take_last_cancelled(&mut self, token: H::Token<'_>) -> Option<H> {
        self.scheduled.take_last_cancelled(token)
    }

    /// Gives out all handles and forgets all descriptors, because the loop closes.
    #[must_use = "the handles are to be dropped with nothing borrowed"]
    pub fn take_all(&mut self) -> Vec<H> {
        let mut all = Vec::new();
        while let Some(handle) = self.ready.pop() {
            all.push(handle);
        }
        all.extend(self.scheduled.take_all());
        all.extend(self.watched.take_all());
        self.remaining = 0;
        self.narrowed.clear();
        all
    }

    /// When the first timer is due, cancelled or not.
    #[inline]
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.scheduled.next_due()
    }

    /// How many handles are ready.
    #[inline]
    #[must_use]
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// How many handles the open turn may still run.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// All handles, for a collector of garbage.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.ready.iter().chain(self.scheduled.iter()).chain(self.watched.iter())
    }

    #[inline]
    fn rouse(&mut self, fd: i32, side: Side, token: H::Token<'_>, displaced: &mut Vec<H>) {
        let Some(handle) = self.watched.handle(fd, side) else {
            return;
        };
        if handle.is_cancelled(token) {
            displaced.extend(self.watched.take(fd, side));
            // The two sides of a descriptor are roused one after the other: tell of it once.
            if self.narrowed.last() != Some(&fd) {
                self.narrowed.push(fd);
            }
            return;
        }
        self.ready.push(handle.share(token));
    }

    #[inline(never)]
    fn gather_due(&mut self, now: Instant, token: H::Token<'_>, displaced: &mut Vec<H>) {
        while let Some(handle) = self.scheduled.pop_due(now) {
            if handle.is_cancelled(token) {
                self.scheduled.forget_cancelled();
                displaced.push(handle);
            } else {
                self.ready.push(handle);
            }
        }
        self.scheduled.relax();
    }
}
